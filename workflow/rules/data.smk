# From a dataset to what a method is given: index, split, prepare, misalign, view.
# Training and test cases part ways at `prepare`, so that no training rule has a test file among its ancestors.


rule index:
    output:
        f"{ROOT}/cases/{{dataset}}.json",
    log:
        f"{ROOT}/logs/{{dataset}}/index.log",
    benchmark:
        f"{ROOT}/benchmarks/{{dataset}}/index.tsv"
    params:
        plugin=plugin_of,
        options=options_of,
        scans=scans_of,
        code=dataset_code,
    shell:
        'python "$SCRIPTS"/index.py --dataset {params.plugin} --options {params.options:q}'
        " --out {output} > {log} 2>&1"


rule split:
    input:
        f"{ROOT}/cases/{{dataset}}.json",
    output:
        split=f"{ROOT}/splits/{{dataset}}.json",
        subsets=of_every_label_subset(f"{ROOT}/splits/{{dataset}}"),
    log:
        f"{ROOT}/logs/{{dataset}}/split.log",
    benchmark:
        f"{ROOT}/benchmarks/{{dataset}}/split.tsv"
    params:
        split=split_of,
        fractions=",".join(str(fraction) for fraction in SETUP.config.fractions()),
        draws=SETUP.config.label_draws,
        code=code("split.py"),
    shell:
        'python "$SCRIPTS"/split.py --cases {input} --split {params.split:q} --fractions {params.fractions}'
        " --draws {params.draws} --out-dir $ROOT/splits/{wildcards.dataset} --out {output.split} > {log} 2>&1"


rule prepare:
    input:
        f"{ROOT}/splits/{{dataset}}.json",
    output:
        directory(f"{ROOT}/data/{{dataset}}/prepared/{{part}}"),
    log:
        f"{ROOT}/logs/{{dataset}}/prepare-{{part}}.log",
    benchmark:
        f"{ROOT}/benchmarks/{{dataset}}/prepare-{{part}}.tsv"
    params:
        plugin=plugin_of,
        options=options_of,
        scans=scans_of,
        code=code("prepare.py"),
        dataset_code=dataset_code,
    shell:
        'python "$SCRIPTS"/prepare.py --dataset {params.plugin} --options {params.options:q} --split {input}'
        " --part {wildcards.part} --raw $ROOT/raw/{wildcards.dataset}/{wildcards.part} --out {output}"
        " > {log} 2>&1"


rule misalign:
    input:
        f"{ROOT}/data/{{dataset}}/prepared/{{part}}",
    output:
        directory(f"{ROOT}/data/{{dataset}}/{{misalignment}}/{{part}}"),
    log:
        f"{ROOT}/logs/{{dataset}}/{{misalignment}}/misalign-{{part}}.log",
    benchmark:
        f"{ROOT}/benchmarks/{{dataset}}/{{misalignment}}/misalign-{{part}}.tsv"
    wildcard_constraints:
        misalignment="(?!prepared)[^/]+",
    params:
        level=misalignment_of,
        seed=misalignment_seed,
        code=code("misalign.py"),
    shell:
        'python "$SCRIPTS"/misalign.py --prepared {input} --misalignment {params.level:q}'
        " --part {wildcards.part} --seed {params.seed} --out {output} > {log} 2>&1"


rule view:
    input:
        data=f"{ROOT}/data/{{dataset}}/{{misalignment}}/train",
        labels=subset_of,
    output:
        directory(f"{ROOT}/views/{{dataset}}/{{misalignment}}/{{labels}}"),
    log:
        f"{ROOT}/logs/{{dataset}}/{{misalignment}}/{{labels}}/view.log",
    benchmark:
        f"{ROOT}/benchmarks/{{dataset}}/{{misalignment}}/{{labels}}/view.tsv"
    params:
        annotation=annotation_of,
        code=code("view.py"),
    shell:
        'python "$SCRIPTS"/view.py --data {input.data} --labels {input.labels} {params.annotation}'
        " --out {output} > {log} 2>&1"
