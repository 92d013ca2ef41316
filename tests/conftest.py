"""What holds for every test."""

import scipy.linalg  # noqa: F401  brings its own BLAS, which has to be there before it can be limited
from threadpoolctl import threadpool_limits

# The processes of the tests fill the processors; threads of BLAS inside them would wait for each other longer than the
# work takes.
threadpool_limits(1)
