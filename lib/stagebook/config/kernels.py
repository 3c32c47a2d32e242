"""Which kernel each stage runs in: what files and flags say over the notebook, checked against what is installed."""

from collections.abc import Iterator, Mapping
from functools import cached_property

from stagebook.config.findings import Finding
from stagebook.config.merge import Merged
from stagebook.config.notebooks import NotebookInterface
from stagebook.config.spec import PipelineSpec
from stagebook.errors import did_you_mean
from stagebook.notebooks import kernels
from stagebook.notebooks.kernels import InstalledKernel

FLAG = "--kernel-name"


class KernelChoice:
    """The kernels of a pipeline's stages. Jupyter is asked for what is installed only where it has to be.

    Args:
        flag: the kernel that the command line asks for, for all stages.
    """

    def __init__(
        self, spec: PipelineSpec, interfaces: Mapping[str, NotebookInterface], flag: str | None = None
    ) -> None:
        self._spec, self._interfaces, self._flag = spec, interfaces, flag

    def override(self, stage: str) -> str | None:
        """The kernel that files or flags say for a stage, instead of the one that its notebook names."""
        return self._flag or self._spec.stages[stage].kernel_name or self._spec.defaults.kernel_name

    def is_own(self, stage: str) -> bool:
        """Whether the stage runs in an ipykernel of this Python, whose packages are known."""
        kernel = self._installed_kernel(stage)
        return self._is_native(stage) or (kernel is not None and kernel.is_own)

    def check(self, merged: Merged) -> Iterator[Finding]:
        """Findings for kernels that are not there, or cannot run their notebook."""
        for name, stage in self._spec.stages.items():
            kernel, override = self._interfaces[name].kernel, self.override(name)
            where, key = self._place(merged, name)
            if not self._is_native(name) and (problem := self._problem(name)) is not None:
                yield Finding(where, key, problem, ", ".join(sorted(self._installed)) or "none is installed")
            if stage.parameters and not {kernel.language, override or kernel.name} & set(kernels.TAKES_PARAMETERS):
                place = merged.where(("stages", name, "parameters"))
                message = f"parameters cannot be set in a notebook in {kernel.language}."
                yield Finding(place, f"stages.{name}.parameters", message, ", ".join(kernels.TAKES_PARAMETERS))

    def _problem(self, stage: str) -> str | None:
        notebook, override = self._interfaces[stage].kernel, self.override(stage)
        name, kernel = override or notebook.name, self._installed_kernel(stage)
        remedy = f"Install it, or name another one (kernel_name, or {FLAG})."
        if name is None and kernel is None:
            return f"the notebook is in {notebook.language}, and no kernel of that language is installed. {remedy}"
        if kernel is None:
            owner = "there is no kernel" if override else "the notebook asks for a kernel that is not installed:"
            return f"{owner} '{name}'.{did_you_mean(str(name), sorted(self._installed))} {remedy}"
        if kernel.is_broken:
            return f"the kernel '{kernel.name}' starts {kernel.argv[0]}, which is not there. {remedy}"
        if override and not kernels.same_language(kernel.language, notebook.language):
            return f"the kernel '{kernel.name}' is for {kernel.language}, and the notebook is in {notebook.language}."
        return None

    def _place(self, merged: Merged, stage: str) -> tuple[str, str]:
        """Where the kernel of a stage is said: a flag, or a file's line and key."""
        if self._flag:
            return FLAG, ""
        if self._spec.stages[stage].kernel_name:
            return merged.where(("stages", stage, "kernel_name")), f"stages.{stage}.kernel_name"
        if self._spec.defaults.kernel_name:
            return merged.where(("defaults", "kernel_name")), "defaults.kernel_name"
        return merged.where(("stages", stage, "notebook")), f"stages.{stage}.notebook"

    def _is_native(self, stage: str) -> bool:
        """Whether the stage runs in the kernel of this Python that is always there."""
        kernel, override = self._interfaces[stage].kernel, self.override(stage)
        return (override or kernel.name) == kernels.NATIVE and kernel.language == kernels.PYTHON

    def _installed_kernel(self, stage: str) -> InstalledKernel | None:
        if self._is_native(stage):
            return None
        kernel = self._interfaces[stage].kernel
        name = self.override(stage) or kernel.name or kernels.of_language(kernel.language, self._installed)
        return None if name is None else self._installed.get(name.lower())

    @cached_property
    def _installed(self) -> dict[str, InstalledKernel]:
        return kernels.installed()
