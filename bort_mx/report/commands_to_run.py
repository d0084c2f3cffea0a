"""The commands of docs/reproduce.md, for values that nobody has run. One place: the document is tested against it."""

CORPORA = ("wikipedia", "wiktionary", "openwebtext", "urbandictionary", "one_billion_words", "cc_news", "bookcorpus")
PREPARE = ("python -m bort_mx prepare --output-dir shards --tokenizer roberta-large --hold-out bookcorpus=11828 "
           + " ".join(f"--corpus {name}=corpora/{name}" for name in CORPORA))
PREPARE_BOOKS = ("python -m bort_mx prepare --output-dir books --tokenizer roberta-large "
                 "--corpus bookcorpus=corpora/bookcorpus")
SEARCH = "python run_search.py --data books --teacher roberta-large --output-dir runs/search"
LATENCY = "python -m bort_mx latency --data books --output-dir runs/latency"
DISTILLATION = ("horovodrun -np 8 python run_pretraining.py --config configs/pretrain_kd.yaml --data shards "
                "--teacher roberta-large --output-dir runs/kd")
SELF_SUPERVISED = ("horovodrun -np 8 python run_pretraining.py --config configs/pretrain_mlm.yaml --data shards "
                   "--output-dir runs/mlm")
PAGE = "python -m bort_mx reproduce --output-dir page --runs runs"


def _folder(task: str) -> str:
    return task.replace("/", "-")


def socrates(task: str) -> str:
    """Fine-tune RoBERTa-large, the teacher of a task."""
    return (f"python run_finetune.py --task {task} --checkpoint roberta-large --output-dir "
            f"runs/socrates/{_folder(task)}")


def agora(task: str) -> str:
    """Agora with the paper's Theta on a task."""
    return (f"python run_finetune.py --task {task} --agora --socrates runs/socrates/{_folder(task)} "
            f"--checkpoint runs/kd --output-dir runs/agora/{_folder(task)}")


def convergent(task: str) -> str:
    """Plain fine-tuning with a task's convergent hyperparameter set."""
    return f"python run_finetune.py --task {task} --chs --checkpoint runs/kd --output-dir runs/chs/{_folder(task)}"


def comparand(task: str, checkpoint: str) -> str:
    """Fine-tune one of the paper's other systems on a task."""
    return (f"python run_finetune.py --task {task} --checkpoint {checkpoint} --config configs/finetune_bert.yaml "
            f"--output-dir runs/{checkpoint.split('/')[-1]}/{_folder(task)}")
