"""HAWQ-V3's published tables for ResNet-18 as an allocation problem.

Source: Zhen-Dong/HAWQ, ILP.ipynb, by Zhen Dong and the other authors of HAWQ, MIT licence. The tables hold
the mean Hessian trace, the squared weight error at 8 and 4 bits, parameters, multiplications and milliseconds
on a T4 at 4 and 8 bits. The optima equal the nine published bit configurations.
"""

from __future__ import annotations

from passes.allocation import AllocationProblem, Choice, LayerChoices

TRACE = """
.06857826 .03162379 .03298575 .01205663 .02222431 .00596336 .06931772 .00807129 .00372905 .00530698
.00209011 .00737569 .00210454 .00151197 .00158041 .00078146 .00451841 .00098745 .00072944
"""
ERROR_8 = """
.0235 .0125 .0102 .0082 .0145 .0344 .0023 .0287 .0148 .0333 .0682 .0027 .0448 .0336 .0576 .1130
.0102 .0947 .0532
"""
ERROR_4 = """
6.7430 3.9691 3.3281 2.6796 4.7277 10.5966 .6827 9.0942 4.8857 10.7599 21.7546 .8603 14.5324 10.9651
18.7706 36.4044 3.1572 29.6994 17.4016
"""
PARAMETERS = """
36864 36864 36864 36864 73728 147456 8192 147456 147456 294912 589824 32768 589824 589824 1179648
2359296 131072 2359296 2359296
"""
MEGA_MACS = """
115.605504 115.605504 115.605504 115.605504 57.802752 115.605504 6.422528 115.605504 115.605504
57.802752 115.605504 6.422528 115.605504 115.605504 57.802752 115.605504 6.422528 115.605504
115.605504
"""
MS_4 = """
.21094404 .21092674 .21104113 .21086851 .13642465 .19167506 .02532183 .19148203 .19142914 .11395316
.20556011 .01917474 .20566918 .20566509 .13185102 .22287786 .01790088 .22304611 .22286099
"""
MS_8 = """
.36189111 .36211718 .31141909 .30454471 .19184896 .38948934 .0334169 .38904905 .3892859 .19134735
.34307431 .02802354 .34313329 .34310756 .21117103 .37376585 .02896843 .37398187 .37405185
"""

TIES = (("x4", "x6"), ("x9", "x11"), ("x14", "x16"))

OPTIMA = {
    "size=0.25f": ("8888888888888844444", 0.11830),
    "size=0.5f": ("8888888888888884844", 0.07451),
    "size=0.75f": ("8888888888888488884", 0.03344),
    "bops=0.25f": ("8884848444444444444", 0.46042),
    "bops=0.5f": ("8884888848884444444", 0.21569),
    "bops=0.75f": ("8888888848888484884", 0.07996),
    "latency=0.25f": ("8884848444444444444", 0.46042),
    "latency=0.5f": ("8888848848884484844", 0.20267),
    "latency=0.75f": ("8888888848888484884", 0.07996),
}


def hawq_resnet18() -> AllocationProblem:
    """Build the problem: 19 layers at 4 or 8 bits; size in MiB, BOPs in units of the paper, latency in ms."""
    texts = (TRACE, ERROR_4, ERROR_8, PARAMETERS, MEGA_MACS, MS_4, MS_8)
    columns = [[float(word) for word in text.split()] for text in texts]
    layers = []
    for index, (trace, error_4, error_8, parameters, macs, ms_4, ms_8) in enumerate(
        zip(*columns, strict=True)
    ):
        low = {"size": parameters * 4 / 8 / 2**20, "bops": macs / 64, "latency": ms_4}
        high = {"size": parameters * 8 / 8 / 2**20, "bops": macs / 16, "latency": ms_8}
        choices = (Choice(4, 4, trace * error_4, low), Choice(8, 8, trace * error_8, high))
        layers.append(LayerChoices(f"x{index}", choices))
    return AllocationProblem("HAWQ-V3 ResNet-18, T4", tuple(layers), TIES)
