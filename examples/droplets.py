"""Droplet digital PCR from files to concentrations: two targets, clusters that overlap, and a report.

Run with ``python examples/droplets.py [folder]``; pictures, tables and the report go to the folder (``pictures``).
"""

# %%
import sys
import tempfile
from pathlib import Path

import pandas as pd

import bayesgmm as bg
from bayesgmm import ddpcr

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
folder.mkdir(parents=True, exist_ok=True)
SEED = 1

# %% [markdown]
# ## A folder as an instrument writes it
#
# The plate is simulated, so that the truth is known: a mutant and the wild type, before and during a therapy, in four
# wells each, and three wells without template. Clusters are 5 sds apart and negatives are skewed, so that they overlap;
# some of the positives are rain; wells differ by 3 % beyond Poisson noise. One well has half of the droplets.

# %%
VOLUME = 0.85  # nanolitres
truth = {"before": (120.0, 400.0), "during": (12.0, 380.0)}  # copies per microlitre: mutant, wild type
simulated = ddpcr.simulate_plate(
    samples=truth,
    n_wells=4,
    n_ntc=3,
    n_droplets=(10_500, 13_000),
    droplet_volume_nl=VOLUME,
    separation=5.0,
    rain=0.02,
    extra_cv=0.03,
    baseline_sd=60.0,
    random_seed=SEED,
)
export = Path(tempfile.mkdtemp()) / "export"
export.mkdir()
for well in simulated:
    kept = well.amplitudes[: 6000 if well.name == "D01" else None]
    rows = pd.DataFrame(kept, columns=["Ch1 Amplitude", "Ch2 Amplitude"]).round(2)
    rows.to_csv(export / f"therapy_{well.name}_Amplitude.csv", index=False, lineterminator="\r\n")
simulated.table[["sample", "ntc"]].to_csv(export / "plate.csv")
print(f"{len(list(export.glob('*_Amplitude.csv')))} files such as {next(iter(sorted(export.glob('*_A01_*')))).name}")

# %% [markdown]
# ## Reading
#
# The same on the command line, without Python:
#
#     bayesgmm ddpcr export --plate export/plate.csv --targets mutant,"wild type" --volume-nl 0.85 \
#         --out results.csv --report report.html

# %%
plate = ddpcr.read_plate(export, table=export / "plate.csv", targets=["mutant", "wild type"])
print(f"\n{plate}")

# %% [markdown]
# ## Concentrations
#
# Concentrations are proportional to 1 / volume, so the droplet volume has no default. The statistical interval holds
# Poisson noise and the doubt which droplet is positive; the total interval adds how much wells differ.

# %%
result = ddpcr.quantify(plate, droplet_volume_nl=VOLUME, random_seed=SEED)
columns = {
    "": "copies/µL",
    "_lower": "lower",
    "_upper": "upper",
    "_total_lower": "total lower",
    "_total_upper": "total upper",
}
table = pd.DataFrame({name: result[f"sample_copies_per_ul{end}"].to_series() for end, name in columns.items()})
table["truth"] = [truth[sample][int(channel == "Ch2")] for sample, channel in table.index]
volume = VOLUME / 1000.0
thresholds = result["copies_per_droplet_threshold"].groupby(result["well_sample"]).mean() / volume
table["by threshold"] = [float(thresholds.sel(well_sample=s, channel=c)) for s, c in table.index]
print("\n" + table.round(1).to_string())
print(
    "\nWhere negatives outnumber positives, a threshold half way counts some of them: "
    f"{table['by threshold'].iloc[2]:.0f} copies of the mutant during therapy in place of {table['truth'].iloc[2]:.0f}."
)

# %% [markdown]
# What both channels say together, how much wells differ, and what a blank may show.

# %%
share = result.sel(pair="Ch1 / Ch2")
for sample in truth:
    middle, low, high = (
        100 * float(share[f"fractional_abundance{e}"].sel(sample=sample)) for e in ("", "_lower", "_upper")
    )
    true = 100 * truth[sample][0] / sum(truth[sample])
    print(f"Mutant {sample} therapy: {middle:.1f} % of both ({low:.1f} to {high:.1f}); the truth is {true:.1f} %")
names = ["between_well_sd", "between_well_sd_lower", "between_well_sd_upper", "limit_of_blank", "limit_of_detection"]
print("\n" + result[names].to_dataframe()[names].round(3).T.to_string())

# %% [markdown]
# What must be said beside the numbers is in the result as well.

# %%
flags = result["flags"].to_series()
print("\n" + "\n".join(f"{well} {channel}: {told}" for (well, channel), told in flags[flags != ""].items()))

# %% [markdown]
# ## Pictures, tables and a report
#
# The report is one page of HTML that holds everything, flags first, and ends with what the dMIQE guidelines ask for.

# %%
bg.plots.plot_well(result, plate, "E01", "Ch1").figure.savefig(folder / "droplets_well.png", dpi=100)
bg.plots.plot_droplets(result, plate, "Ch1").figure.savefig(folder / "droplets_all.png", dpi=100)
bg.plots.plot_plate(result, "Ch1")[0].figure.savefig(folder / "droplets_plate.png", dpi=100)
bg.plots.plot_two_channels(result, plate, "A01").figure.savefig(folder / "droplets_two_channels.png", dpi=100)
bg.report.write_tables(result, folder / "droplets.csv")
page = bg.report.write_report(result, plate, folder / "droplets.html", title="Mutant before and during therapy")
print(f"\nPictures, tables and the report {page.name} are in {folder}/.")
