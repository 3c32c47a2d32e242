"""What a kernel runs before the first cell of its notebook, unseen: nothing of it is in the notebook or its names."""

from pathlib import Path
from typing import Any

from stagebook import after_import, plain_values
from stagebook.executor.kernels import scrap_hook, shell_setup

_CODE = """
def __stagebook_setup__(report):
    import types
    modules = []
    for name, source in {sources!r}.items():
        module = types.ModuleType(name)
        exec(compile(source, f"<stagebook {{name}}>", "exec"), vars(module))
        modules.append(module)
    plain_values, after_import, scrap_hook, shell_setup = modules
    scrap_hook.install(plain_values, after_import)
    shell_setup.prepare(get_ipython())
    shell_setup.begin_access_report(report)
try:
    __stagebook_setup__({report!r})
finally:
    del __stagebook_setup__
"""


def code(report: dict[str, Any] | None) -> str:
    """The code; it works in any ipykernel, whether the kit can be imported there or not.

    Args:
        report: the arguments of `access_report.begin`, if the kernel is to report what it opens.
    """
    modules = (plain_values, after_import, scrap_hook, shell_setup)
    sources = {module.__name__: Path(str(module.__file__)).read_text(encoding="utf-8") for module in modules}
    return _CODE.format(sources=sources, report=report)
