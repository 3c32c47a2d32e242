"""The example domain: which flights leave New York and arrive late."""
