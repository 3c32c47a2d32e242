"""`jupyter_client` without its fixed waits (0.2 s of silence at a kernel's start, steps of 0.1 s at its end).

And without the interrupt that it sends before each end: an idle kernel logs it, and the kernel's children get it too.
"""

import time
from queue import Empty
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager


class FastKernelClient(AsyncKernelClient):
    """A kernel is ready once its answer has come on both channels, to its last message.

    `language_info` is what it has answered of its language.
    """

    language_info: dict[str, Any]

    async def wait_for_ready(self, timeout: float | None = None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Wait until the kernel answers.

        Raises:
            RuntimeError: it died, or did not answer within `timeout` seconds.
        """
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        while not await self._answers():
            if not await self.is_alive():
                raise RuntimeError("Kernel died before replying to kernel_info")
            if time.monotonic() > deadline:
                raise RuntimeError(f"Kernel didn't respond in {timeout} seconds")

    async def _answers(self) -> bool:
        self.kernel_info()
        try:
            reply = await self.get_shell_msg(timeout=1)
            while reply["msg_type"] != "kernel_info_reply":
                reply = await self.get_shell_msg(timeout=1)
            request_id = reply["parent_header"]["msg_id"]
            while not _is_last_message(await self.get_iopub_msg(timeout=0.2), request_id):
                pass
        except Empty:  # messages were lost before this client was connected: ask again
            return False
        self._handle_kernel_info_reply(reply)
        self.language_info = reply["content"]["language_info"]
        return True


def _is_last_message(message: dict[str, Any], request_id: str) -> bool:
    """Whether the kernel is idle again after this request."""
    return (
        message["msg_type"] == "status"
        and message["content"]["execution_state"] == "idle"
        and message["parent_header"].get("msg_id") == request_id
    )


class FastKernelManager(AsyncKernelManager):
    """Checks every hundredth of a second whether a kernel that was asked to end has ended.

    `is_idle` says that no cell is under way, which would have to be interrupted for the kernel to shut down.
    """

    is_idle = True

    async def _async_interrupt_kernel(self) -> None:
        if not (self.shutting_down and self.is_idle):
            await super()._async_interrupt_kernel()

    async def _async_finish_shutdown(
        self, waittime: float | None = None, pollinterval: float = 0.01, restart: bool = False
    ) -> None:
        await super()._async_finish_shutdown(waittime, pollinterval, restart)
