# What all stages share: the resolved run and the names of places. The logic lives in parallax.run.
import gc
import hashlib
import json
import sys
from functools import cache, partial
from pathlib import Path
from shlex import quote

from parallax.errors import UserError, end_refused
from parallax.plugin import plugin_root
from parallax.report.viewer.niivue import find_niivue
from parallax.run.costs import Estimator, read_cost_model
from parallax.run.devices import begin_gpus
from parallax.run.request import train_request
from parallax.run.scheduler import let_rest
from parallax.run.session import begin, end, failed, mend
from parallax.run.setup import make_setup
from parallax.run.source import source_hash


container: "docker://python:3.11-slim"


# What `snakemake --report` shows: captions in workflow/report/, results where rules say `report(...)`.
report: "../report/workflow.rst"


try:
    SETUP = make_setup(
        config, Path(workflow.configfiles[-1]) if workflow.configfiles else None
    )
    GPUS = begin_gpus(workflow)
except UserError as error:
    end_refused(error)

if workflow.is_main_process:
    mend(SETUP, sys.argv[1:])

# The graph of all jobs lives as long as this process. Looking through it for garbage again and again, as Python does
# by default after every 700 new objects, costs 17 % of the planning of a large grid (benchmarks/planning.py).
gc.set_threshold(100_000, 50, 100)

ROOT = SETUP.root
SCRIPTS = plugin_root() / "workflow" / "scripts"
CELL = "{dataset}/{misalignment}/{labels}/{method}/{preset}-s{seed}"
RUNS = {run.path: run for run in SETUP.plan.runs}
LIMITS = SETUP.config.limits
COSTS = Estimator(read_cost_model(), SETUP)

# Snakemake asks once per job; the answers depend on much less, and a large grid has tens of thousands of jobs.
method_hash = cache(SETUP.method_hash)
budget_json = cache(SETUP.budget_json)
switches_json = cache(SETUP.switches_json)
trained_as = cache(SETUP.trained_as)

# GPUs and limits are settings of the machine, so they stand here and not among the params: a change reruns nothing.
# Jobs run in the Python of this process and find scripts and results wherever the working directory is.
# glibc shall keep freed memory: giving each large tensor back to the system and asking for it again costs a
# training on a CPU 3 to 17 % of its time (page faults). Other systems ignore the two names.
shell.prefix(
    f"PATH={quote(str(Path(sys.executable).parent))}:$PATH;"
    f" SCRIPTS={quote(SCRIPTS.as_posix())}; ROOT={quote(ROOT)};"
    f" GPUS={quote(GPUS.options())};"
    f" TRAIN_LIMITS={quote(LIMITS.options(LIMITS.train_s))};"
    f" PREDICT_LIMITS={quote(LIMITS.options(LIMITS.predict_s))};"
    " export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4000000000; "
)


wildcard_constraints:
    dataset="[^/]+",
    misalignment="[^/]+",
    labels="f[0-9p]+-d[0-9]+(-[A-Za-z0-9_]+)?",
    method="[^/]+",
    preset="[^/]+",
    seed="[0-9]+",
    part="train|test",


def code(script):
    """Hash of what a script does, with all engine code that it reaches: an edit that matters reruns its rule."""
    return source_hash(SCRIPTS / script)


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


PUBLISHED = digest((plugin_root() / "results" / "published.csv").read_text())
CLAIMS = digest((plugin_root() / "claims.yaml").read_text())


def plugin_of(wildcards):
    return SETUP.plugin_of(wildcards.dataset)


def options_of(wildcards):
    return json.dumps(SETUP.dataset_options(wildcards.dataset), sort_keys=True)


def dataset_code(wildcards):
    return source_hash(SETUP.dataset_path(wildcards.dataset))


def split_of(wildcards):
    return json.dumps(SETUP.split(wildcards.dataset))


def misalignment_of(wildcards):
    return json.dumps(
        SETUP.misalignment(wildcards.dataset, wildcards.misalignment), sort_keys=True
    )


def misalignment_seed(wildcards):
    return SETUP.config.datasets[wildcards.dataset].split.seed


def subset_of(wildcards):
    """The file of labelled and unlabelled cases; an annotation changes label maps, not which cases have one."""
    name = "-".join(wildcards.labels.split("-")[:2])
    return f"{ROOT}/splits/{wildcards.dataset}/{name}.json"


def annotation_of(wildcards):
    """Options of view.py: none where everything is annotated."""
    left_out = SETUP.annotation(wildcards.labels)
    if left_out["name"] == "full":
        return ""
    seed = SETUP.config.datasets[wildcards.dataset].split.seed
    values = quote(json.dumps(left_out["values"], sort_keys=True))
    return f"--annotation {left_out['name']} --annotate {values} --seed {seed}"


def budget_of(wildcards):
    return budget_json(wildcards.dataset)


def method_code(wildcards):
    return method_hash(wildcards.method)


def control_code():
    """Changes when a control does, and so may its band."""
    cards = SETUP.cards.values()
    return digest([source_hash(card.path) for card in cards if card.control])


def gpu_of(wildcards):
    """GPUs, or parts of one, that a job takes; controls train nothing."""
    return GPUS.per_run if not SETUP.cards[wildcards.method].control else 0


def scratch_of(wildcards):
    """A folder for checkpoints, so that no version of a method resumes from one of another version."""
    return f"{ROOT}/scratch/{CELL.format(**wildcards)}/{method_code(wildcards)}"


@cache
def request_of(dataset, method, preset):
    """Looked up once: thousands of jobs would look at thousands of files each."""
    on_gpu = GPUS.per_run > 0
    estimate = None if on_gpu else partial(COSTS.run, dataset, method, preset)
    return train_request(Path(ROOT), dataset, method, estimate)


def memory_of(wildcards, attempt):
    w = wildcards
    return request_of(w.dataset, w.method, w.preset).again(attempt).mem_mib


def runtime_of(wildcards, attempt):
    w = wildcards
    return request_of(w.dataset, w.method, w.preset).again(attempt).runtime_min


def jobs_at_a_time():
    """Processors of this machine, or jobs of a cluster."""
    return workflow.resource_settings.cores or workflow.resource_settings.nodes


def scans_of(wildcards):
    """Changes when a file of the dataset does."""
    return SETUP.scans_digest(wildcards.dataset)


def run_of(wildcards):
    return SETUP.run_json(RUNS[CELL.format(**wildcards)])


def switches_of(wildcards):
    return switches_json(wildcards.method, wildcards.preset)


def trained_of(wildcards):
    """Folder of the run that was trained in the same way, and differs in prediction alone; none for most."""
    preset = trained_as(wildcards.method, wildcards.preset)
    if preset == wildcards.preset:
        return ""
    return f"{ROOT}/runs/{CELL}".format(**{**wildcards, "preset": preset})


def trained_alike(wildcards):
    """What a run takes over instead of training."""
    folder = trained_of(wildcards)
    parts = ("model", "cost.json", "status.json")
    return [f"{folder}/{part}" for part in parts] if folder else []


def reuse_of(wildcards):
    """Option of train.py for such a run."""
    folder = trained_of(wildcards)
    return f"--reuse {quote(folder)}" if folder else ""


def run_config(wildcards):
    return SETUP.config.model_dump_json(exclude_none=True)


def paper_config(wildcards):
    """Options of paper_tables.py: a configuration given on the command line may state an experiment too."""
    given = workflow.configfiles[-1:]
    return f"--config {quote(str(given[0]))}" if given else ""


def only_paper_tables():
    """Whether this invocation renders the tables of the paper alone, and so works in no folder of a run."""
    return {job.rule.name for job in workflow.dag.jobs} == {"paper_tables"}


def run_notes(wildcards):
    return json.dumps(SETUP.notes())


def of_every_label_subset(folder):
    """The files that list labelled and unlabelled training cases, one per fraction and draw."""
    return [f"{folder}/{name}.json" for name in SETUP.label_subsets()]


def of_every_run(pattern):
    """The file of this pattern for every run of the plan."""
    return [f"{ROOT}/{pattern}".replace(CELL, path) for path in RUNS]
