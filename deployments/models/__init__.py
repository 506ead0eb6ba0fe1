from deployments.models.deployment import Deployment, EnvVar, PersistentDirectory, Runtime, Slot, SlotName
from deployments.models.log import LogChunk, LogStream, StreamKind
from deployments.models.release import ACTIVE_STATES, TRANSITIONS, Release, ReleaseState

__all__ = [
    "ACTIVE_STATES",
    "TRANSITIONS",
    "Deployment",
    "EnvVar",
    "LogChunk",
    "LogStream",
    "PersistentDirectory",
    "Release",
    "ReleaseState",
    "Runtime",
    "Slot",
    "SlotName",
    "StreamKind",
]
