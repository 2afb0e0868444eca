"""
A folder of Parquet, resumed, and on Ray
========================================

Tables that do not fit in memory are learned from a sample of their rows and imputed piece by
piece. A job that is killed goes on where it stopped, and its result is the same to the byte.
"""

# %%
# A folder
# --------
# Three files in a temporary folder, with the growth of Dutch boys in place of something large.
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import statsmodels.formula.api as smf

import psmimpute as psm

folder = Path(tempfile.mkdtemp())
boys = psm.load_boys().drop(columns="bmi").reset_index(names="id")
(folder / "lake").mkdir()
for part in range(3):
    boys.iloc[part::3].to_parquet(folder / "lake" / f"part-{part}.parquet", index=False)

# %%
# Learn
# -----
# From a simple random sample of the rows, chosen by a hash of the key ``id``: the same rows,
# however they are stored.
imputer = psm.PSMImputer(
    m=2, seed=1, n_sets=1, exclude=["id"], fit=psm.FitConfig(max_steps=60)
).fit(folder / "lake", sample_rows=400, row_key="id")
model = imputer.save(folder / "growth.psm")
imputer

# %%
# The uncertainty of the model is that of the sample: with 400 rows learned, intervals do not
# become narrower than 400 rows allow, however many are imputed.
#
# Impute
# ------
imp = psm.impute_parquet(folder / "lake", folder / "imputed", m=2, model=model, row_key="id")
sorted(path.relative_to(folder).as_posix() for path in folder.glob("imputed/**/*.parquet"))

# %%
# What comes back reads one completed table at a time, when it is asked for.
imp.pool("hgt ~ age + wgt", model=smf.ols).to_frame()[["estimate", "std_error"]].round(3)

# %%
# Interrupt, and resume
# ---------------------
# A process does the same job and is killed as soon as it has written something.
call = """
import sys, psmimpute as psm
psm.impute_parquet(sys.argv[1], sys.argv[2], m=2, model=sys.argv[3], row_key="id", progress=False)
"""
cut = folder / "cut"
child = subprocess.Popen([sys.executable, "-c", call, folder / "lake", cut, model])
while child.poll() is None and not list(cut.rglob("*.parquet")):
    time.sleep(0.01)
child.kill()
child.wait()
# A manifest is written last: without it nothing passes for a result.
(cut / "_psmimpute.json").exists()

# %%
# The same call finishes the job, and the files are those of the undisturbed run, to the byte:
again = psm.impute_parquet(folder / "lake", cut, m=2, model=model, row_key="id")
whole = {path.relative_to(cut) for path in cut.rglob("*.parquet")}
(
    len(whole),
    all((cut / name).read_bytes() == (folder / "imputed" / name).read_bytes() for name in whole),
)

# %%
# The same row, the same draws
# ----------------------------
# A row's imputations depend on model, seed and key, not on the batch or the file that it came in.
one = psm.impute_parquet(
    folder / "lake" / "part-1.parquet", folder / "one", m=2, model=model, row_key="id"
)
alone = one.complete(2).set_index("id")
together = imp.complete(2).set_index("id").loc[alone.index]
bool((alone["hgt"] == together["hgt"]).all())

# %%
# More than one machine
# ---------------------
# The same pieces, in actors of Ray Data::
#
#     psm.impute_parquet("s3://lake/", "s3://imputed/", m=20, model=model, engine="ray", workers=16)
#
# It needs the extra ``psmimpute[ray]``, and storage that all machines see. The fit is not
# distributed. When this page was built, Ray was
print(
    "installed" if importlib.util.find_spec("ray") else "not installed, and the line above not run"
)

# %%
# On the command line::
#
#     psmimpute fit lake/ growth.psm --m 20 --seed 1 --exclude id --row-key id --sample-rows 100000
#     psmimpute impute lake/ imputed/ --m 20 --model growth.psm --row-key id
#     psmimpute pool imputed/ "hgt ~ age + wgt"
