"""A simulated archive: the bucket, its files and exchangeInfo over HTTP on this machine, for `demo`.

    with serve(SimulatedArchive.recorded(symbols=25)) as server:
        os.environ.update(server.environment())

It shares no code with what reads the archive, so that an error in one of them shows. Only exports belong here.
Scripted changes, faults and a request log are attached by the tests.
"""

from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.server import SimulatorServer, serve

__all__ = ["SimulatedArchive", "SimulatorServer", "serve"]
