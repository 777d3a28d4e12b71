"""Features of examples, against what TensorFlow wrote."""

import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.sources.example import bytes_in, example_features, integers_in

integers = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5)
texts = st.lists(st.binary(max_size=300), max_size=3)


@given(st.dictionaries(st.text(max_size=9), integers), st.dictionaries(st.text(max_size=9), texts))
def test_features_are_what_tensorflow_wrote(
    of_integers: dict[str, list[int]], of_bytes: dict[str, list[bytes]]
) -> None:
    message = tf.train.Example()
    message.features.feature["a float"].float_list.value.extend([1.5, -2.0])
    message.features.feature["nothing"].Clear()
    for name, values in of_integers.items():
        message.features.feature[f"i{name}"].int64_list.value.extend(values)
    for name, values in of_bytes.items():
        message.features.feature[f"b{name}"].bytes_list.value.extend(values)
    found = example_features(message.SerializeToString())
    assert set(found) == set(message.features.feature)
    for name, values in of_integers.items():
        assert integers_in(found[f"i{name}"]) == values
        assert bytes_in(found[f"i{name}"]) == []
    for name, values in of_bytes.items():
        assert bytes_in(found[f"b{name}"]) == values
        assert integers_in(found[f"b{name}"]) == []
    assert bytes_in(found["a float"]) == integers_in(found["a float"]) == []
    assert bytes_in(found["nothing"]) == []


@given(st.binary(max_size=60))
def test_any_bytes_are_an_example_or_a_value_error(content: bytes) -> None:
    try:
        features = example_features(content)
        for feature in features.values():
            bytes_in(feature)
            integers_in(feature)
    except ValueError:
        pass


def test_integers_may_be_unpacked() -> None:
    # As writers of proto2 do: each value with a tag of its own.
    assert integers_in(memoryview(b"\x1a\x04\x08\x05\x08\x07")) == [5, 7]
