from weightgas import analysis as analysis
from weightgas import datasets as datasets
from weightgas import errors as errors
from weightgas import experiments as experiments
from weightgas import figures as figures
from weightgas import measurement as measurement
from weightgas import networks as networks
from weightgas import potentials as potentials
from weightgas import probes as probes
from weightgas import protocols as protocols
from weightgas import report as report
from weightgas import runs as runs
from weightgas import simulation as simulation
from weightgas import status as status
from weightgas import streams as streams
from weightgas import symmetry as symmetry
from weightgas import systems as systems
from weightgas import theory as theory
from weightgas import trace as trace
from weightgas import training as training
from weightgas.analysis import bootstrap as bootstrap
from weightgas.analysis import verdict as verdict
from weightgas.measurement import measure as measure
from weightgas.protocols import FixedELR as FixedELR
from weightgas.protocols import FixedLR as FixedLR
from weightgas.protocols import FixedSphere as FixedSphere
from weightgas.simulation import simulate as simulate
from weightgas.symmetry import structural_groups as structural_groups
from weightgas.symmetry import symmetries as symmetries
from weightgas.trace import extend as extend
from weightgas.trace import grid as grid
from weightgas.trace import open_trace as open_trace
from weightgas.trace import save as save_trace  # noqa: F401
from weightgas.training import train as train

__version__: str
