"""Files as instruments write them, of droplets that tests know."""

import numpy as np

PREAMBLE = [
    "Target Value of 0 = negative",
    "Target Value of 1 = positive",
    "Target Value of u = unclassified (Advanced Classification Mode)",
    "",
]


def droplets(n=40, seed=0, n_channels=2):
    """Amplitudes sorted by the first channel, some of them negative, with the digits of a file."""
    x = np.random.default_rng(seed).normal(800.0, 900.0, size=(n, n_channels)).round(3)
    return x[np.argsort(x[:, 0])]


def quantasoft(x, clusters=None, header=("Ch1 Amplitude", "Ch2 Amplitude")):
    """Lines of an amplitude file."""
    lines = [",".join([*header, *([] if clusters is None else ["Cluster"])])]
    for i, row in enumerate(x.tolist()):
        lines.append(",".join([*map(repr, row), *([] if clusters is None else [str(clusters[i])])]))
    return lines


def qx_manager(x, calls, targets=("MUT", "WT"), preamble=True, end=","):
    """Lines of QX Manager: columns of 0, 1 and u, and a comma at the end."""
    channels = [f"Ch{j + 1}Amplitude" for j in range(x.shape[1])]
    lines = [*(PREAMBLE if preamble else []), ",".join([*channels, *targets]) + end]
    for row, call in zip(x.tolist(), calls, strict=True):
        lines.append(",".join([*map(repr, row), *call]) + end)
    return lines


def naica(x, header=("X", "Y", "Blue", "Green", "Index"), delimiter=","):
    """Lines of a RawData file."""
    rows = [[str(10 + i), str(20 + i), *map(repr, row), str(i + 1)] for i, row in enumerate(x.tolist())]
    return [delimiter.join(header), *(delimiter.join(row) for row in rows)]


QIACUITY = "Well,Sample,Channel,Cycled volume,Threshold,Partition,Is invalid,Is positive,RFU"
QIACUITY_PLATE = "Plate name,Plate ID,Plate type," + QIACUITY + ",REF"


def qiacuity(channel, wells, volume=0.012, plate=False):
    """Lines of one channel; wells are name -> (sample, rfu, invalid, positive)."""
    lines = ["sep=,", QIACUITY_PLATE if plate else QIACUITY]
    for name, (sample, rfu, invalid, positive) in wells.items():
        for i, (value, bad, call) in enumerate(zip(rfu.tolist(), invalid, positive, strict=True)):
            row = f"{name},{sample},{channel},{volume},50.5,{i + 1},{bad},{call},{value!r}"
            before = ("P1,1a-2b,Nanoplate 26K 8-well," if i == 0 else ",,,") if plate else ""
            lines.append(before + row + (",Std-Ref" if plate else ""))
    return lines


def save(path, lines, end="\r\n", encoding="utf-8", last=True):
    """Write lines; `last` says whether the last of them ends as well."""
    path.write_bytes((end.join(lines) + (end if last else "")).encode(encoding))
    return path
