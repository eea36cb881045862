"""A simulated archive: the bucket, its files and exchangeInfo over HTTP on this machine.

    with serve(SimulatedArchive.recorded(symbols=25)) as server:
        os.environ.update(server.environment())

For the demo, tests and benchmarks. It shares no code with what reads the archive, so that an error in one of
them shows. Exports belong here and nothing else.
"""

from availability_pipeline.simulator.content import SimulatedArchive, SimulatedFile
from availability_pipeline.simulator.faults import Fault, Faults, Injection
from availability_pipeline.simulator.journal import RequestLog, RequestRecord
from availability_pipeline.simulator.server import SimulatorServer, serve

__all__ = [
    "Fault",
    "Faults",
    "Injection",
    "RequestLog",
    "RequestRecord",
    "SimulatedArchive",
    "SimulatedFile",
    "SimulatorServer",
    "serve",
]
