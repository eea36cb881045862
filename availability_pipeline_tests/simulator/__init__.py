"""The simulated archive as tests need it: changed by scripts, with faults injected and its requests logged.

    with serve(ScriptedArchive.recorded(["BTCUSDT"], now=NOW)) as server:
        server.faults.inject(Fault.status(503), on="LIST")

What is attached here to the package's own simulator comes in by `answering` and by subclasses. Exports, and the tests
of all of it.
"""

from availability_pipeline_tests.simulator.faults import Fault, Faults, Injection
from availability_pipeline_tests.simulator.journal import RequestLog, RequestRecord
from availability_pipeline_tests.simulator.scripted import ScriptedArchive
from availability_pipeline_tests.simulator.scripting import SimulatedFile
from availability_pipeline_tests.simulator.server import ObservedServer, serve

__all__ = [
    "Fault",
    "Faults",
    "Injection",
    "ObservedServer",
    "RequestLog",
    "RequestRecord",
    "ScriptedArchive",
    "SimulatedFile",
    "serve",
]
