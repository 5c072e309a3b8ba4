# Front door of Parallax: configuration, stages, one default target.
from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/results.smk"


rule all:
    default_target: True
    input:
        rules.scores.output,
        rules.tables.output,
        rules.figures.output,
        rules.report.output,
        rules.manifest.output,


onstart:
    let_rest(workflow)
    waiting = [
        CELL.format(**job.wildcards)
        for job in workflow.dag.needrun_jobs()
        if job.rule.name == "train"
    ]
    if not only_paper_tables():
        begin(
            SETUP,
            jobs_at_a_time(),
            {path: RUNS[path] for path in waiting},
            GPUS,
            COSTS,
        )


onsuccess:
    if not only_paper_tables():
        end(SETUP)


onerror:
    if not only_paper_tables():
        failed(SETUP)
