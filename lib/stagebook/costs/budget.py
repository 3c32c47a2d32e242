"""Budget limits: whether a stage may start, given what was spent and what it is expected to cost."""

from decimal import Decimal

from stagebook.costs import bill
from stagebook.model.pricing import Budget
from stagebook.model.record import RunRecord


def refusal(budget: Budget, *, run: Decimal, month: Decimal, expected: Decimal) -> str | None:
    """The reason why a start would exceed a limit, or None where it is within all limits.

    Args:
        run: US dollars that this run has spent, with what its running stages are expected to cost.
        month: the same for all other runs of the pipeline in this month.
        expected: expected US dollars of what would start.
    """
    limits = (
        ("max_usd_per_run", budget.max_usd_per_run, run, "the run has spent"),
        ("max_usd_per_month", budget.max_usd_per_month, run + month, "the month has spent"),
    )
    for key, limit, spent, subject in limits:
        if limit is not None and spent + expected > limit:
            return (
                f"{key} is {limit} USD, {subject} or reserved {_rounded(spent)}, "
                f"and about {_rounded(expected)} would come on top: {_rounded(spent + expected)} USD"
            )
    return None


def usd_in_month(record: RunRecord, month: str, *, alive: bool) -> Decimal:
    """US dollars of a run that count for a month (`2026-11`, UTC).

    A run that is alive counts with its reserved amount, until it has spent more.
    """
    charges = [charge for charge in bill.of(record).charges if f"{charge.start:%Y-%m}" == month]
    total = sum((charge.usd.likely for charge in charges), Decimal(0))
    if alive and record.sessions:
        return max(total, Decimal(str(record.sessions[-1].reserved_usd)))
    return total


def _rounded(usd: Decimal) -> Decimal:
    return usd.quantize(Decimal("0.0001"))
