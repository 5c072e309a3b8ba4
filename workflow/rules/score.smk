# One row per case, modality, structure and metric; then the one tidy table of the run.


rule score:
    input:
        data=f"{ROOT}/data/{{dataset}}/{{misalignment}}/test",
        predictions=f"{ROOT}/runs/{CELL}/predictions",
        status=f"{ROOT}/runs/{CELL}/predict_status.json",
    output:
        f"{ROOT}/runs/{CELL}/scores.csv",
    log:
        f"{ROOT}/logs/{CELL}/score.log",
    benchmark:
        f"{ROOT}/benchmarks/{CELL}/score.tsv"
    params:
        run=run_of,
        code=code("score.py"),
    shell:
        'python "$SCRIPTS"/score.py --data {input.data} --predictions {input.predictions}'
        " --status {input.status} --run {params.run:q} --out {output} > {log} 2>&1"


rule scores:
    input:
        scores=of_every_run(f"runs/{CELL}/scores.csv"),
        costs=of_every_run(f"runs/{CELL}/cost.json"),
    output:
        csv=f"{ROOT}/scores.csv",
        parquet=f"{ROOT}/scores.parquet",
        costs=f"{ROOT}/costs.csv",
    log:
        f"{ROOT}/logs/scores.log",
    benchmark:
        f"{ROOT}/benchmarks/scores.tsv"
    params:
        skipped=digest(SETUP.skipped()),
        code=code("scores.py"),
    shell:
        'python "$SCRIPTS"/scores.py --run-dir $ROOT --plan $ROOT/plan.json > {log} 2>&1'


# No table, figure or report is made of a run whose controls show that it was scored wrongly.
rule controls:
    input:
        scores=f"{ROOT}/scores.parquet",
        splits=[f"{ROOT}/splits/{name}.json" for name in SETUP.datasets],
    output:
        f"{ROOT}/controls.json",
    log:
        f"{ROOT}/logs/controls.log",
    benchmark:
        f"{ROOT}/benchmarks/controls.tsv"
    params:
        code=code("controls.py"),
        controls=control_code(),
    shell:
        'python "$SCRIPTS"/controls.py --scores {input.scores} --splits $ROOT/splits --out {output}'
        " > {log} 2>&1 || {{ cat {log} >&2; exit 1; }}"
