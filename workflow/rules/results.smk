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
        controls=f"{ROOT}/controls.json",
    output:
        report(
            directory(f"{ROOT}/tables"),
            patterns=["{table}.csv"],
            labels={"table": "{table}"},
            category="Tables",
            caption="../report/table.rst",
        ),
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
        scores=f"{ROOT}/scores.parquet",
        costs=f"{ROOT}/costs.csv",
        controls=f"{ROOT}/controls.json",
    output:
        report(
            directory(f"{ROOT}/figures"),
            patterns=["{figure}.png"],
            labels={"figure": "{figure}"},
            category="Figures",
            caption="../report/figure.rst",
        ),
    log:
        f"{ROOT}/logs/figures.log",
    benchmark:
        f"{ROOT}/benchmarks/figures.tsv"
    priority: 1  # the report waits for it
    params:
        notes=run_notes,
        code=code("figures.py"),
    shell:
        'python "$SCRIPTS"/figures.py --scores {input.scores} --run-dir $ROOT --notes {params.notes:q} --out {output} > {log} 2>&1'


rule viewer:
    input:
        scores=f"{ROOT}/scores.parquet",
        controls=f"{ROOT}/controls.json",
    output:
        directory(f"{ROOT}/report/viewer"),
    log:
        f"{ROOT}/logs/viewer.log",
    benchmark:
        f"{ROOT}/benchmarks/viewer.tsv"
    priority: 1  # the report waits for it
    params:
        title=SETUP.config.title or SETUP.config.run,
        notes=run_notes,
        room=SETUP.config.viewer_mib,
        niivue=str(find_niivue() or "none"),
        code=code("viewer.py"),
    shell:
        'python "$SCRIPTS"/viewer.py --run-dir $ROOT --title {params.title:q} --notes {params.notes:q}'
        " --room-mib {params.room} --out {output} > {log} 2>&1"


# Not the tables: the report makes its own from the scores, so both are made side by side.
rule report:
    input:
        f"{ROOT}/manifest.json",
        f"{ROOT}/scores.parquet",
        f"{ROOT}/costs.csv",
        f"{ROOT}/controls.json",
        f"{ROOT}/figures",
        f"{ROOT}/report/viewer",
    output:
        report(
            f"{ROOT}/report/index.html",
            labels={"page": "report"},
            category="Report",
            caption="../report/page.rst",
        ),
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


# Published values beside ours, from whatever has been run. No input and no output: nothing is trained for it, and it
# looks again each time. The scores of runs are inputs of nobody here, or their rules would want to make them first.
rule paper_tables:
    log:
        "results/paper_tables/paper_tables.log",
    params:
        config=paper_config,
    shell:
        'python "$SCRIPTS"/paper_tables.py {params.config} > {log} 2>&1 && cat {log}'
        " || {{ cat {log} >&2; exit 1; }}"
