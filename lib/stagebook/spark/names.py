"""Names and errors of Spark as text."""

import re

_JAVA_CLASS = re.compile(r"^\((?:[a-z]\w*\.)+\w+\) ")


def quoted(name: str) -> str:
    """A column's name as SQL text."""
    return "`" + name.replace("`", "``") + "`"


def reason(fault: Exception) -> str:
    """The first line of an error of Spark, without classes and stack traces of the JVM."""
    line = next(iter(str(fault).splitlines()), type(fault).__name__)
    return _JAVA_CLASS.sub("", line).removesuffix(" SQLSTATE:")[:400]


def is_of_delta(fault: Exception) -> bool:
    """Whether Delta itself refuses, so that another attempt would be refused as well."""
    return "[DELTA_" in str(fault) or "org.apache.spark.sql.delta." in str(fault).partition("\n")[0]
