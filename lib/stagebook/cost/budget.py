"""Whether something may still be started: limits against what was spent and what is expected."""

from decimal import Decimal

from stagebook.cost import bill
from stagebook.model.pricing import Budget
from stagebook.model.record import RunRecord


def refusal(budget: Budget, *, run: Decimal, month: Decimal, expected: Decimal) -> str | None:
    """Why starting this would exceed a limit, or None.

    Args:
        run: US dollars that this run has spent, and that what is under way will.
        month: the same of all other runs of the pipeline in this month.
        expected: US dollars of what would be started.
    """
    limits = (
        ("max_usd_per_run", budget.max_usd_per_run, run, "the run has spent"),
        ("max_usd_per_month", budget.max_usd_per_month, run + month, "the month has spent"),
    )
    for key, limit, spent, who in limits:
        if limit is not None and spent + expected > limit:
            return (
                f"{key} is {limit} USD, {who} or holds {_cents(spent)}, "
                f"and about {_cents(expected)} would come on top: {_cents(spent + expected)} USD"
            )
    return None


def of_month(record: RunRecord, month: str, *, alive: bool) -> Decimal:
    """US dollars of a run that count for a month (`2026-11`, UTC).

    A run that is alive counts with what it holds reserved, until it has spent more.
    """
    spent = [charge for charge in bill.of(record).charges if f"{charge.start:%Y-%m}" == month]
    total = sum((charge.usd.likely for charge in spent), Decimal(0))
    if alive and record.legs:
        return max(total, Decimal(str(record.legs[-1].reserved_usd)))
    return total


def _cents(usd: Decimal) -> Decimal:
    return usd.quantize(Decimal("0.0001"))
