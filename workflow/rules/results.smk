# What people read: tables, figures, the report, and the manifest that says how it all came about.


rule manifest:
    input:
        f"{ROOT}/scores.parquet",
    output:
        f"{ROOT}/manifest.json",
    log:
        f"{ROOT}/logs/manifest.log",
    benchmark:
        f"{ROOT}/benchmarks/manifest.tsv"
    params:
        config=run_config,
        code=code("manifest.py"),
    shell:
        'python "$SCRIPTS"/manifest.py --run-dir $ROOT --config {params.config:q} --out {output} > {log} 2>&1'


rule tables:
    input:
        scores=f"{ROOT}/scores.parquet",
        costs=f"{ROOT}/costs.csv",
    output:
        directory(f"{ROOT}/tables"),
    log:
        f"{ROOT}/logs/tables.log",
    benchmark:
        f"{ROOT}/benchmarks/tables.tsv"
    params:
        notes=run_notes,
        published=PUBLISHED,
        claims=CLAIMS,
        code=code("tables.py"),
    shell:
        'python "$SCRIPTS"/tables.py --scores {input.scores} --costs {input.costs} --notes {params.notes:q}'
        " --out {output} > {log} 2>&1"


rule figures:
    input:
        f"{ROOT}/scores.parquet",
    output:
        directory(f"{ROOT}/figures"),
    log:
        f"{ROOT}/logs/figures.log",
    benchmark:
        f"{ROOT}/benchmarks/figures.tsv"
    params:
        code=code("figures.py"),
    shell:
        'python "$SCRIPTS"/figures.py --scores {input} --run-dir $ROOT --out {output} > {log} 2>&1'


rule report:
    input:
        f"{ROOT}/manifest.json",
        f"{ROOT}/tables",
        f"{ROOT}/figures",
    output:
        f"{ROOT}/report/index.html",
    log:
        f"{ROOT}/logs/report.log",
    benchmark:
        f"{ROOT}/benchmarks/report.tsv"
    params:
        published=PUBLISHED,
        claims=CLAIMS,
        code=code("report.py"),
    shell:
        'python "$SCRIPTS"/report.py --run-dir $ROOT --out {output} > {log} 2>&1'


# The tables in the form that a paper takes: LaTeX and CSV only.
rule paper_tables:
    input:
        rules.tables.output,
