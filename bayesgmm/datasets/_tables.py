"""Loaders of the tables that lie beside this module as plain text."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from bayesgmm._arguments import as_flag
from bayesgmm._interrupts import Interrupts

if TYPE_CHECKING:
    import pandas as pd

# Row label and value of the one number on which the R package MASS and Roeder (1990) differ (observation 78).
_GALAXIES_ROW = 77
_GALAXIES_ROEDER = 26.960


def load_faithful() -> pd.DataFrame:
    """Load 272 eruptions of the Old Faithful geyser.

    Returns
    -------
    pandas.DataFrame, shape (272, 2)
        A new frame on every call, in the order of the source.

        * ``eruptions`` : float, duration of the eruption, in minutes.
        * ``waiting`` : float, time to the next eruption, in minutes.

    Notes
    -----
    *Known truth.* None: there are no labels. Two groups are plain to see, short eruptions with short waits and long
    ones with long waits.

    *Reference result.* The best model by BIC of mclust [3]_ is three components with one common full covariance matrix
    (EEE, 3): log-likelihood -1126.326, 11 parameters, BIC 2314.316 in the sign where lower is better (mclust prints
    -2314.316).

    References
    ----------
    .. [1] Azzalini, A. and Bowman, A. W. (1990). A look at some data on the Old Faithful geyser. Applied Statistics
       39, 357-365.
    .. [2] Härdle, W. (1991). Smoothing Techniques with Implementation in S. Springer. (The version with 272 rows.)
    .. [3] Vignette of the R package mclust 6.1.3.

    Examples
    --------
    >>> from bayesgmm.datasets import load_faithful
    >>> load_faithful().shape
    (272, 2)
    """
    return _read("faithful.csv")


def load_iris() -> pd.DataFrame:
    """Load Fisher's iris data: four lengths of 150 flowers of three species.

    Returns
    -------
    pandas.DataFrame, shape (150, 5)
        A new frame on every call, in the order of the source.

        * ``sepal_length``, ``sepal_width``, ``petal_length``, ``petal_width`` : float, in cm.
        * ``species`` : str, ``"setosa"``, ``"versicolor"`` or ``"virginica"``.

    Notes
    -----
    *Known truth.* ``species``, 50 flowers of each. *Setosa* stands apart; the other two overlap.

    *Reference result.* With its default settings mclust [3]_ chooses two components by BIC, not three: VEV, 2 with
    log-likelihood -215.726, 26 parameters and BIC 561.7285 (lower is better; mclust prints -561.7285), just ahead of
    VEV, 3 with 562.5522.

    The lengths are rounded to 0.1 cm, so that some values repeat often: the likelihood of three or more components with
    free covariances is unbounded, and a maximum-likelihood fit has to say which local optimum it reports.

    References
    ----------
    .. [1] Fisher, R. A. (1936). The use of multiple measurements in taxonomic problems. Annals of Eugenics 7, 179-188.
    .. [2] Anderson, E. (1935). The irises of the Gaspe Peninsula. Bulletin of the American Iris Society 59, 2-5.
    .. [3] R package mclust 6.0.0, function ``Mclust``.

    Examples
    --------
    >>> from bayesgmm.datasets import load_iris
    >>> load_iris().drop(columns="species").shape
    (150, 4)
    """
    return _read("iris.csv")


def load_galaxies(*, corrected: bool = False) -> pd.DataFrame:
    """Load the velocities of 82 galaxies in the Corona Borealis region.

    Parameters
    ----------
    corrected : bool, default False
        The default gives the numbers of the R package MASS, which most papers use, where observation 78 is 26.690.
        True gives the value of Roeder (1990) [1]_ in its place, 26.960.

    Returns
    -------
    pandas.DataFrame, shape (82, 1)
        A new frame on every call, sorted.

        * ``velocity`` : float, in 1000 km/s.

    Notes
    -----
    *Known truth.* None: how many components there are is famously open, and answers from 3 to 7 have been published.

    *Reference result.* Posterior probabilities of K = 3, ..., 10 components under the prior of Richardson and Green
    (1997), their Table 1 [3]_: 0.061, 0.128, 0.182, 0.199, 0.160, 0.109, 0.071, 0.040. By BIC, mclust with its default
    start chooses four components of unequal variance for the MASS numbers: log-likelihood -199.2545, BIC 446.9829
    (lower is better; mclust prints -446.9829); from random starts it finds three with a lower BIC, 441.6122.

    References
    ----------
    .. [1] Roeder, K. (1990). Density estimation with confidence sets exemplified by superclusters and voids in the
       galaxies. Journal of the American Statistical Association 85, 617-624.
    .. [2] Postman, M., Huchra, J. P. and Geller, M. J. (1986). Probes of large-scale structures in the Corona Borealis
       region. Astronomical Journal 92, 1238-1247.
    .. [3] Richardson, S. and Green, P. J. (1997). On Bayesian analysis of mixtures with an unknown number of
       components. Journal of the Royal Statistical Society B 59, 731-792.

    Examples
    --------
    >>> from bayesgmm.datasets import load_galaxies
    >>> float(load_galaxies().loc[77, "velocity"]), float(load_galaxies(corrected=True).loc[77, "velocity"])
    (26.69, 26.96)
    """
    corrected = as_flag("corrected", corrected)
    frame = _read("galaxies.csv")
    if corrected:
        frame.loc[_GALAXIES_ROW, "velocity"] = _GALAXIES_ROEDER
    return frame


def _read(name: str) -> pd.DataFrame:
    # Here and not at the top: whoever only imports the package should not wait for pandas.
    with Interrupts():
        import pandas as pd

    with files(__package__).joinpath(name).open(encoding="utf-8") as stream:
        return pd.read_csv(stream, comment="#")
