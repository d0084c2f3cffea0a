"""benchmarks/students_more_texts.py: whose texts they are, and how a sentence is spoilt."""

from bort_mx.data.tasks import get_task


def test_more_texts_are_of_no_held_out_example(load_benchmark, shared):
    selection, texts = load_benchmark("students_selection"), load_benchmark("students_more_texts")
    data = str(shared / "data")
    for task in ("MRPC", "CoLA"):
        train, held = selection.parts(task, data)
        lines = texts.more_texts(task, data, train, held)
        assert len(lines) == 2 * len(train)
        forbidden = {texts.key(text) for examples in (held, get_task(task).read(data, "dev"))
                     for example in examples for text in example.texts}
        assert not forbidden & {texts.key(text) for line in lines for text in line.split("\t")}
        assert {line.count("\t") for line in lines} == {1 if task == "MRPC" else 0}


def test_a_spoilt_sentence_has_a_word_less_or_two_neighbours_exchanged(load_benchmark):
    texts = load_benchmark("students_more_texts")
    words = "one two three four five".split()
    kinds = set()
    for number in range(60):
        spoilt = texts.spoilt("one two three  four five", number).split()
        if number % 2:
            assert len(spoilt) == 4 and [word for word in words if word in spoilt] == spoilt
        else:
            different = [i for i in range(5) if spoilt[i] != words[i]]
            assert sorted(spoilt) == sorted(words) and different == [different[0], different[0] + 1]
        kinds.add(" ".join(spoilt))
    assert len(kinds) == 8  # 4 places of each kind
