"""SQL over the system tables: Databricks' own cost query, and ours built on the same join."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stagebook.errors import ConfigError, did_you_mean
from stagebook.system_tables.write import table_folder, table_names

if TYPE_CHECKING:
    import pyarrow as pa

JOIN = """\
FROM system.billing.usage AS u
INNER JOIN system.billing.list_prices AS p
  ON u.cloud = p.cloud AND u.sku_name = p.sku_name AND u.usage_start_time >= p.price_start_time
  AND (u.usage_end_time <= p.price_end_time OR p.price_end_time IS NULL)
WHERE u.billing_origin_product = 'JOBS'"""

RUN_COST = f"""\
SELECT u.workspace_id, u.usage_metadata.job_id AS job_id, u.usage_metadata.job_run_id AS run_id,
  SUM(u.usage_quantity * p.pricing.default) AS usd
{JOIN}
GROUP BY u.workspace_id, u.usage_metadata.job_id, u.usage_metadata.job_run_id"""
"""What each run cost, by Databricks' own query.

Source: tmm, LakeFlow System Tables Dashboard; Databricks' documentation, jobs-cost.
"""

GROUPS = {
    "pipeline": "u.usage_metadata.job_id",
    "run": "u.usage_metadata.job_run_id",
    "stage": "u.custom_tags['stage']",
    "profile": "u.custom_tags['profile']",
    "spent_on": "u.custom_tags['spent_on']",
    "month": "SUBSTR(CAST(u.usage_date AS STRING), 1, 7)",
    "day": "CAST(u.usage_date AS STRING)",
}
"""What costs can be grouped by, beside `tag.<name>`, a tag of the profile."""

_NARROW_PRICES = """\
SELECT account_id, price_start_time, price_end_time, sku_name, cloud, currency_code, usage_unit,
  named_struct('default', CAST(pricing['default'] AS DECIMAL(20, 10))) AS pricing
FROM system.billing.list_prices"""
"""DataFusion multiplies DECIMAL(38,18) into 36 decimals, which overflows at 100 USD: a narrower price does not."""


class NoSystemTables(ConfigError):
    """A query reads system tables that do not exist."""

    @classmethod
    def of(cls, folder: Path, missing: Sequence[str]) -> "NoSystemTables":
        return cls(
            f"there is no {', '.join(missing)} in {folder}: no run has ended yet whose costs were written there."
        )


def run_query(sql: str, tables: Path) -> "pa.Table":
    """The result of a query on the system tables below `tables / "system"`, which have the same names as on Databricks.

    Raises:
        NoSystemTables: if the query reads a table that does not exist.
    """
    from stagebook.delta import append_only

    paths = {
        name: table_folder(tables, table) for name, table in table_names().items() if re.search(rf"\b{name}\b", sql)
    }
    if missing := [name for name, path in paths.items() if not append_only.exists(path)]:
        raise NoSystemTables.of(tables / "system", missing)
    views = {name: _NARROW_PRICES for name in paths if name.endswith("list_prices")}
    return append_only.query(sql, paths, views)


def cost_by(by: Sequence[str], pipeline: str | None = None) -> str:
    """SQL for US dollars, grouped by these names of `GROUPS`; it runs on Databricks' tables as on ours.

    Args:
        pipeline: only this one; None for all.
    Raises:
        ConfigError: if costs cannot be grouped by one of the names.
    """
    columns = [_column(name) for name in by]
    selected = "".join(f"{column} AS {quoted(name, chr(34))}, " for column, name in zip(columns, by, strict=True))
    only = f"\n  AND u.usage_metadata.job_id = {quoted(pipeline)}" if pipeline else ""
    grouped = f"\nGROUP BY {', '.join(columns)}\nORDER BY {', '.join(columns)}" if by else ""
    return f"SELECT {selected}SUM(u.usage_quantity * p.pricing.default) AS usd\n{JOIN}{only}{grouped}"


def _column(name: str) -> str:
    if name.startswith("tag."):
        return f"u.custom_tags[{quoted(name.removeprefix('tag.'))}]"
    if name not in GROUPS:
        allowed = [*GROUPS, "tag.<name>"]
        raise ConfigError(f"--by: there is no '{name}'.{did_you_mean(name, allowed)}\n  allowed: {', '.join(allowed)}")
    return GROUPS[name]


def quoted(text: str, mark: str = "'") -> str:
    """A text as an SQL literal; with `"` as mark, a quoted name."""
    return f"{mark}{text.replace(mark, mark * 2)}{mark}"
