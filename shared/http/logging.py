"""Logs: structlog as JSON for machines or for a console; secrets never get in."""

import logging
import re
import sys
from typing import Any, Literal, TextIO, cast

import structlog
from starlette.types import Scope
from structlog.types import EventDict, Processor, WrappedLogger

LogFormat = Literal["json", "console"]
AccessPolicy = Literal["all", "faults", "off"]

HIDDEN = "[hidden]"
# Local variables of a traceback may be secrets, so none are shown.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
# Where a vendor cannot sign, the end of its address is the secret.
_SECRET_END = re.compile(r"(/inbound/).+", re.DOTALL)
_SECRET_WORDS = (
    "authorization",
    "token",
    "secret",
    "password",
    "signature",
    "ticket",
    "api_key",
    "apikey",
    "cookie",
    "credential",
)


def setup_logging(
    level: str = "info", style: LogFormat = "json", stream: TextIO | None = None
) -> None:
    """Set up structlog and the standard library's logging, once, at the start of the process."""
    output = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, *_rendering(style)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(style),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.INFO))
    for name in ("httpx", "httpcore", "uvicorn.access", "aiokafka", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def hide_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A structlog processor: values under names that sound secret are replaced, at any depth."""
    return cast(EventDict, _hidden(event))


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: HIDDEN if _sounds_secret(key) else _hidden(inner)
            for key, inner in cast(dict[Any, Any], value).items()
        }
    if isinstance(value, (list, tuple)):
        return [_hidden(inner) for inner in cast(list[Any], value)]
    return value


def _sounds_secret(key: Any) -> bool:
    name = str(key).lower().replace("-", "_")
    return any(word in name for word in _SECRET_WORDS)


def _rendering(style: LogFormat) -> list[Processor]:
    if style == "console":
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)]
    return [_TRACEBACKS, structlog.processors.JSONRenderer()]


class AccessLog:
    """One line a request: method, path (never its query, nor what of it is a secret), status,
    milliseconds, workspace."""

    def __init__(self, policy: AccessPolicy = "all") -> None:
        self._policy = policy
        self._log: Any = structlog.get_logger("omniroute.access")

    def write(self, scope: Scope, status: int, took_s: float) -> None:
        if self._policy == "off" or (self._policy == "faults" and status < 400):
            return
        self._log.info(
            "request",
            request_id=scope["omniroute.request_id"],
            method=scope["method"],
            path=_SECRET_END.sub(rf"\1{HIDDEN}", scope["path"]),
            status=status,
            ms=round(took_s * 1000, 2),
            workspace=scope.get("omniroute.workspace"),
        )
