"""The run report and the executed notebooks as HTML: records and notebooks in, strings out, no I/O.

`page.render` makes `report.html`; `notebook.notebook_html` makes the page of one executed notebook.
"""
