"""_json.py: one reading of a document, or none (RULES 9)."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokenward import _json
from tokenward._json import MAX_DEPTH, MAX_DIGITS, JSONError, loads

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(-(10**60), 10**60) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=25,
)
objects = st.dictionaries(names, values, max_size=5)


def member(raw):
    """Return an object whose member ``a`` is the text `raw`."""
    return f'{{"a":{raw}}}'


@given(objects, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_agrees_with_the_library_on_strict_documents(value, ascii_only, indent):
    """Whatever the library writes strictly is read as the library reads it, text or bytes."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)

    assert json.loads(text) == loads(text) == loads(text.encode())


@given(st.binary() | st.text() | objects.map(json.dumps).map(lambda t: t[:-1] + "]"))
@example("")
@example(b"\xff")
@example(b"\x00")
@example("{")
@example('{"a":')
@example('{"a":"\ud800"}')
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example('{"a":"' + "\\u0041" * 10)
@example("9" * 10_000)
def test_nothing_but_its_own_error_leaves(text):
    """Anything at all is an object or a JSONError, and the error says nothing of the text."""
    try:
        assert dict is type(loads(text))
    except JSONError as error:
        refusal = error
    else:
        return
    assert (None, None) == (refusal.__cause__, refusal.__context__)


def test_errors_do_not_hold_the_text():
    """A body may hold a password; the library's error would carry the whole of it along."""
    with pytest.raises(JSONError) as caught:
        loads('{"password": hunter2}')

    seen = caught.value
    while seen is not None:
        assert "hunter2" not in f"{seen!r} {vars(seen)}"
        seen = seen.__cause__ or seen.__context__


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"b":2,"a":null}',
        '{"x":{"a":1,"a":2}}',
        '{"x":[{"y":[{"a":1,"a":2}]}]}',
        '{"a":1,"\\u0061":2}',
        '{"":1,"":2}',
    ],
)
def test_duplicate_members(text):
    """One name twice is refused at any level, escaped or not (RFC 8725, section 3.7)."""
    with pytest.raises(JSONError, match="repeated"):
        loads(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number(number):
    """Python's additions to JSON are not JSON (RFC 8259, section 6)."""
    with pytest.raises(JSONError, match="NaN"):
        loads(member(f"[{number}]"))


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 400 + ".0", "1E+999"])
def test_reals_out_of_range(number):
    """A number that becomes infinite compares as later than everything."""
    with pytest.raises(JSONError, match="out of range"):
        loads(member(number))


@pytest.mark.parametrize("sign", ["", "-"])
def test_digits_are_bounded(sign):
    """A long integer is refused before it is converted."""
    fits = sign + "1" * (MAX_DIGITS - len(sign))

    assert {"a": int(fits)} == loads(member(fits))
    with pytest.raises(JSONError, match="digits"):
        loads(member(fits + "1"))


@pytest.mark.parametrize("number", ["1e-400", "0", "-0", "1.5", "1e3", "-1.25E-2"])
def test_ordinary_numbers(number):
    """What JSON calls a number and fits is read as it stands."""
    read = loads(member(number))["a"]

    assert (json.loads(number), True) == (read, math.isfinite(read))
    assert type(json.loads(number)) is type(read)


@pytest.mark.parametrize("number", ["01", "+1", "1.", ".5", "0x10", "1_000", "\u0661", "1e", "--1"])
def test_malformed_numbers(number):
    """What is nearly a number is none."""
    with pytest.raises(JSONError):
        loads(member(number))


@pytest.mark.parametrize(
    "text",
    [
        r'{"a":"\ud800"}',
        r'{"a":"\udc00\ud800"}',
        r'{"a":["x",{"b":"\uDFFF"}]}',
        r'{"\ud800":1}',
        '{"a":"\ud800"}',
        b'{"a":"\xed\xa0\x80"}',
    ],
)
def test_lone_surrogates(text):
    """Half a character is refused, escaped or raw, in a value or a name (RFC 8259, 8.2)."""
    with pytest.raises(JSONError):
        loads(text)


def test_surrogate_pairs():
    """Two escapes that make up one character are that character."""
    assert {"a": "\U0001f600", "b": "\\ud800"} == loads(r'{"a":"\ud83d\ude00","b":"\\ud800"}')


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_bounded(opening, closing):
    """Exactly `MAX_DEPTH` levels are read, of either kind."""
    inner = f"{opening}1{closing}" if opening != "[" else "[]"
    fits = opening * (MAX_DEPTH - 2) + inner + closing * (MAX_DEPTH - 2)

    assert "a" in loads(member(fits))
    with pytest.raises(JSONError, match="deeper"):
        loads(member(opening + fits + closing))


def test_depth_is_not_breadth():
    """Many containers beside each other are not deep."""
    text = member(f"[{','.join(['[]', '{}'] * MAX_DEPTH)}]")

    assert 2 * MAX_DEPTH == len(loads(text)["a"])


def test_brackets_in_strings_are_no_depth():
    """What only looks like nesting is a string."""
    assert {"a": "[{" * 100} == loads(member(f'"{"[{" * 100}"'))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be", "latin-1"])
def test_other_encodings(encoding):
    """UTF-8 without a byte order mark, and nothing else (RFC 8259, section 8.1)."""
    with pytest.raises(JSONError):
        loads('{"a":"é"}'.encode(encoding))


@pytest.mark.parametrize(
    "text", ["\ufeff{}", b"\xef\xbb\xbf{}", b"\xc0\x80{}", b'{"a":"\xf4\x90\x80\x80"}']
)
def test_marks_and_overlong_forms(text):
    """A byte order mark, an overlong form or what is beyond Unicode is refused."""
    with pytest.raises(JSONError):
        loads(text)


@pytest.mark.parametrize("text", ["[]", "[{}]", "1", '"a"', "true", "null", '"{}"', "", " "])
def test_only_objects(text):
    """A token, an answer and a key set are objects."""
    with pytest.raises(JSONError):
        loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "{}{}",
        "{} x",
        "{}\x00",
        "{},",
        '{"a":1,}',
        "{'a':1}",
        "{a:1}",
        '{"a":1}//',
        '{"a":"\t"}',
        '{"a":"\x00"}',
        '{"a":"\\x41"}',
        '{"a":tru}',
        "\xa0{}",
        "\x0c{}",
        "{}\xa0",
        "{}\x0b",
    ],
)
def test_what_is_nearly_json(text):
    """Comments, trailing commas, control characters, a second document: refused."""
    with pytest.raises(JSONError):
        loads(text)


def test_white_space_around():
    """JSON's own four white space characters may surround a document."""
    assert {"a": 1} == loads(' \t\r\n{"a" : 1}\n')


def test_our_error_is_a_value_error():
    """Callers may treat it as such."""
    assert issubclass(_json.JSONError, ValueError)
