# One training run and its predictions. A method that raises leaves a status, not a failed job.


rule train:
    input:
        trained_alike,
        view=f"{ROOT}/views/{{dataset}}/{{misalignment}}/{{labels}}",
    output:
        model=directory(f"{ROOT}/runs/{CELL}/model"),
        cost=f"{ROOT}/runs/{CELL}/cost.json",
        status=f"{ROOT}/runs/{CELL}/status.json",
    log:
        f"{ROOT}/logs/{CELL}/train.log",
    benchmark:
        f"{ROOT}/benchmarks/{CELL}/train.tsv"
    threads: 1
    resources:
        mem_mb=memory_of,
        runtime=runtime_of,
        gpu=gpu_of,
    params:
        budget=budget_of,
        method_code=method_code,
        switches=switches_of,
        code=code("train.py"),
        scratch=scratch_of,
        reuse=reuse_of,
    shell:
        'python "$SCRIPTS"/train.py --method {wildcards.method} --switches {params.switches:q}'
        " --seed {wildcards.seed} --view {input.view} --budget {params.budget:q} --model {output.model}"
        " --cost {output.cost} --status {output.status} --scratch {params.scratch} --threads {threads} {params.reuse}"
        " $GPUS $TRAIN_LIMITS > {log} 2>&1 && {{ grep -H '^GPU memory' {log} || true; }}"
        " && python -m parallax.run.progress $ROOT {wildcards.method}"


rule predict:
    input:
        data=f"{ROOT}/data/{{dataset}}/{{misalignment}}/test",
        model=f"{ROOT}/runs/{CELL}/model",
        status=f"{ROOT}/runs/{CELL}/status.json",
    output:
        predictions=directory(f"{ROOT}/runs/{CELL}/predictions"),
        status=f"{ROOT}/runs/{CELL}/predict_status.json",
    log:
        f"{ROOT}/logs/{CELL}/predict.log",
    benchmark:
        f"{ROOT}/benchmarks/{CELL}/predict.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        gpu=gpu_of,
    params:
        budget=budget_of,
        method_code=method_code,
        switches=switches_of,
        modalities=SETUP.config.test_modalities,
        code=code("predict.py"),
    shell:
        'python "$SCRIPTS"/predict.py --method {wildcards.method} --switches {params.switches:q}'
        " --seed {wildcards.seed} --data {input.data} --model {input.model} --status {input.status}"
        " --budget {params.budget:q} --test-modalities {params.modalities} --out {output.predictions}"
        " --predict-status {output.status} $GPUS $PREDICT_LIMITS > {log} 2>&1 && {{ grep -H '^GPU memory' {log} || true; }}"
