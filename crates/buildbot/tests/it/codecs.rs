//! The codecs: everything that can be written is read again, and damage is told with its place.

use ironmaster_buildbot::{
    Copied, EncodeError, Limits, ObjectId, Value,
    banana::{BananaError, Decoder, Dialect, Element, Problem, WORDS, encode},
    jelly, msgpack,
};
use proptest::prelude::*;

fn bytes(element: &Element, dialect: Dialect) -> Vec<u8> {
    let mut out = Vec::new();
    encode(element, dialect, &mut out).unwrap();
    out
}

fn decode(stream: &[u8], dialect: Dialect, limits: Limits) -> Result<Vec<Element>, BananaError> {
    let mut decoder = Decoder::new(dialect, limits);
    decoder.push(stream);
    std::iter::from_fn(|| decoder.poll().transpose()).collect()
}

#[test]
fn the_references_numbers() {
    let table: &[(i128, &[u8])] = &[
        (0, &[0x00, 0x81]),
        (-1, &[0x01, 0x83]),
        (127, &[0x7f, 0x81]),
        (-128, &[0x00, 0x01, 0x83]),
        (128, &[0x00, 0x01, 0x81]),
        (-(1 << 31), &[0, 0, 0, 0, 8, 0x83]),
        (300, &[0x2c, 0x02, 0x81]),
        (-(1 << 31) - 1, &[1, 0, 0, 0, 8, 0x86]),
        ((1 << 31) - 1, &[0x7f, 0x7f, 0x7f, 0x7f, 7, 0x81]),
        (1 << 31, &[0, 0, 0, 0, 8, 0x85]),
        (1 << 40, &[0, 0, 0, 0, 0, 0x20, 0x85]),
    ];
    for (number, wire) in table {
        assert_eq!(bytes(&Element::Int(*number), Dialect::None), *wire, "{number}");
        assert_eq!(
            decode(wire, Dialect::None, Limits::STRANGER).unwrap(),
            [Element::Int(*number)]
        );
    }
    let wire = [0x84, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0];
    assert_eq!(bytes(&Element::Float(1.5), Dialect::None), wire);
    // Zero may have no digit at all, and any number may have leading zeros.
    let lenient = decode(&[0x81, 0x05, 0x00, 0x00, 0x81], Dialect::None, Limits::STRANGER).unwrap();
    assert_eq!(lenient, [Element::Int(0), Element::Int(5)]);
}

#[test]
fn damage_is_told_with_its_place() {
    let limits = Limits {
        string: 10,
        list: 3,
        depth: 2,
        elements: 5,
        bytes: 20,
        ..Limits::STRANGER
    };
    let mut nested = vec![1, 0x80, 1, 0x80, 1, 0x80];
    nested.push(0x81);
    let large: Vec<u8> = [[0x7f; 19].as_slice(), &[0x81]].concat();
    let table: &[(&[u8], u64, &str)] = &[
        (&[0; 65], 0, "a prefix of more than 64 bytes"),
        (&large, 0, "a number of more than 127 bits"),
        (&[1, 0x88], 0, "an element of the unknown type 0x88"),
        (&[1, 0x81, 40, 0x87], 2, "word 40 is not in the vocabulary"),
        (&[0, 0x87], 0, "word 0 is not in the vocabulary"),
        (
            &[1, 0x81, 11, 0x82],
            2,
            "a string of 11 bytes is longer than the limit of 10",
        ),
        (
            &[4, 0x80],
            0,
            "a list of 4 elements is longer than the limit of 3",
        ),
        (&nested, 4, "lists are nested more than 2 deep"),
        (
            &[3, 0x80, 3, 0x80, 1, 0x81, 1, 0x81, 1, 0x81, 1, 0x81],
            10,
            "more than 5 elements in one message",
        ),
        (
            &[2, 0x80, 8, 0x82, 1, 1, 1, 1, 1, 1, 1, 1, 9, 0x82],
            12,
            "more than 20 bytes in one message",
        ),
    ];
    for (stream, at, problem) in table {
        for piece in [1, usize::MAX] {
            let mut decoder = Decoder::new(Dialect::Pb, limits);
            let mut error = None;
            for piece in stream.chunks(piece) {
                decoder.push(piece);
                while error.is_none() {
                    match decoder.poll() {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(found) => error = Some(found),
                    }
                }
            }
            let error = error.unwrap_or_else(|| panic!("{problem}"));
            assert_eq!((error.at, error.problem.to_string().as_str()), (*at, *problem));
        }
    }
    let error = decode(&[1, 0x87], Dialect::None, limits).unwrap_err();
    assert_eq!(error.problem, Problem::NoWords);
}

#[test]
fn a_claim_takes_no_memory() {
    // Lists of half a million elements each, one in the other, in a few bytes.
    let mut stream = Vec::new();
    for _ in 0..60 {
        stream.extend([0x7f, 0x7f, 0x1f, 0x80]);
    }
    assert_eq!(decode(&stream, Dialect::Pb, Limits::PEER).unwrap(), []);
}

fn list(items: &[Element]) -> Element {
    Element::List(items.to_vec())
}

fn word(word: &'static str) -> Element {
    Element::Bytes(word.into())
}

#[test]
fn only_known_forms_are_read() {
    let table: &[(Element, &str)] = &[
        (list(&[]), "a list without a type name, at the outermost list"),
        (
            list(&[Element::Int(1)]),
            "a list without a type name, at the outermost list",
        ),
        (
            list(&[word("list"), word("x"), list(&[word("instance"), word("x")])]),
            "unknown type `instance`, at element 2",
        ),
        (
            list(&[word("tuple"), list(&[word("module"), word("os")])]),
            "unknown type `module`, at element 1",
        ),
        (
            list(&[
                word("dictionary"),
                list(&[word("k"), list(&[word("boolean"), word("maybe")])]),
            ]),
            "malformed `boolean`, at element 1.1",
        ),
        (
            list(&[word("dictionary"), list(&[word("k")])]),
            "malformed `dictionary`, at element 1",
        ),
        (
            list(&[word("dereference"), Element::Int(1)]),
            "value 1 is referred to before it is complete, at the outermost list",
        ),
        (
            list(&[
                word("reference"),
                Element::Int(1),
                list(&[word("list"), list(&[word("dereference"), Element::Int(1)])]),
            ]),
            "value 1 is referred to before it is complete, at element 2.1",
        ),
        (
            list(&[word("remote"), Element::Int(-1)]),
            "malformed `remote`, at the outermost list",
        ),
    ];
    for (element, message) in table {
        let error = jelly::read(element.clone(), &Limits::PEER).unwrap_err();
        assert_eq!(error.to_string(), *message);
    }
}

#[test]
fn values_that_double_themselves_are_stopped() {
    // Each list holds the one before twice: a few bytes that would become 2^60 values.
    let mut form = list(&[word("list")]);
    for number in 0..60 {
        let twice = list(&[
            word("list"),
            list(&[word("reference"), Element::Int(number), form]),
            list(&[word("dereference"), Element::Int(number)]),
        ]);
        form = twice;
    }
    let error = jelly::read(form.clone(), &Limits::PEER).unwrap_err();
    assert!(error.to_string().contains("nested too deep"), "{error}");
    let deep = Limits {
        depth: 1000,
        ..Limits::PEER
    };
    let error = jelly::read(form, &deep).unwrap_err();
    assert!(error.to_string().contains("make this too large"), "{error}");
}

#[test]
fn what_cannot_be_sent_is_not_begun() {
    let mut out = b"before".to_vec();
    let long = list(&[word("x"), Element::Bytes(vec![0; Limits::PB_SIZE + 1].into())]);
    assert_eq!(
        encode(&long, Dialect::Pb, &mut out),
        Err(EncodeError::LongString(Limits::PB_SIZE + 1))
    );
    let mut deep = word("x");
    for _ in 0..=Limits::PEER.depth {
        deep = list(&[deep]);
    }
    assert_eq!(encode(&deep, Dialect::Pb, &mut out), Err(EncodeError::Deep));
    assert_eq!(out, b"before");
    let reference = Value::Remote(ObjectId::Number(1));
    assert_eq!(
        msgpack::encode(&reference),
        Err(EncodeError::NoForm("a reference"))
    );
    assert_eq!(
        msgpack::encode(&Value::Int(1 << 64)),
        Err(EncodeError::Number(1 << 64))
    );
}

#[test]
fn damaged_messages_are_told_with_their_place() {
    let limits = Limits {
        string: 4,
        list: 3,
        depth: 2,
        elements: 4,
        bytes: 12,
        ..Limits::STRANGER
    };
    let table: &[(&[u8], usize, &str)] = &[
        (&[], 0, "the message ends in the middle of a value"),
        (&[0x91], 1, "the message ends in the middle of a value"),
        (&[0x01, 0x02, 0x03], 1, "2 bytes follow the value"),
        (&[0xc1], 1, "a value of the unknown type 0xc1"),
        (&[0xd4, 0, 0], 1, "a value of the unknown type 0xd4"),
        (&[0xa2, 0xc3, 0x28], 3, "a text that is not UTF-8"),
        (
            &[0xc6, 0xff, 0xff, 0xff, 0xff],
            5,
            "a string of 4294967295 bytes is longer than the limit of 4",
        ),
        (
            &[0xdd, 0xff, 0xff, 0xff, 0xff],
            5,
            "4294967295 elements are more than the limit of 3",
        ),
        (
            &[0x91, 0x91, 0x91, 0xc0],
            3,
            "arrays and maps are nested more than 2 deep",
        ),
        (&[0x92, 0x92, 1, 1, 1], 4, "more than 4 values in one message"),
        (
            &[0; 13],
            0,
            "a message of 13 bytes is longer than the limit of 12",
        ),
    ];
    for (message, at, problem) in table {
        let error = msgpack::decode(message, &limits).unwrap_err();
        assert_eq!((error.at, error.problem.to_string().as_str()), (*at, *problem));
    }
}

fn object() -> impl Strategy<Value = ObjectId> {
    prop_oneof![
        any::<u64>().prop_map(ObjectId::Number),
        "[a-z]{1,8}".prop_map(|name| ObjectId::Name(name.into()))
    ]
}

fn blob() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        proptest::sample::select(WORDS.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
    ]
}

/// What both protocols have.
fn plain() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::Float),
        blob().prop_map(Value::bytes),
        "\\PC{0,40}".prop_map(Value::Text),
    ]
}

fn nested(leaf: BoxedStrategy<Value>, all: bool) -> impl Strategy<Value = Value> {
    leaf.prop_recursive(6, 60, 5, move |inner| {
        let items = || proptest::collection::vec(inner.clone(), 0..5);
        let entries = proptest::collection::vec((inner.clone(), inner.clone()), 0..5);
        if all {
            prop_oneof![
                items().prop_map(Value::List),
                items().prop_map(Value::Tuple),
                items().prop_map(Value::Set),
                items().prop_map(Value::FrozenSet),
                entries.prop_map(Value::Dict),
                ("[a-z]{1,5}\\.[A-Z]", inner).prop_map(|(class, state)| {
                    let class = class.into();
                    Value::Copied(Box::new(Copied { class, state }))
                }),
            ]
            .boxed()
        } else {
            prop_oneof![items().prop_map(Value::List), entries.prop_map(Value::Dict)].boxed()
        }
    })
}

fn jellied() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => plain(),
        1 => (-(1_i128 << 126)..1 << 126).prop_map(Value::Int),
        1 => object().prop_map(Value::Remote),
        1 => object().prop_map(Value::Local),
        1 => blob().prop_map(|numbers| Value::DateTime(numbers.into())),
        1 => blob().prop_map(|numbers| Value::TimeDelta(numbers.into())),
        1 => (any::<i64>(), any::<i64>()).prop_map(|(value, exponent)| Value::Decimal(value.into(), exponent.into())),
    ];
    nested(leaf.boxed(), true)
}

proptest! {
    #[test]
    fn jelly_is_read_as_it_was_written(value in jellied(), words in any::<bool>(), piece in 1_usize..20) {
        let dialect = if words { Dialect::Pb } else { Dialect::None };
        let stream = bytes(&jelly::write(&value), dialect);
        let mut decoder = Decoder::new(dialect, Limits::PEER);
        let mut read = Vec::new();
        for piece in stream.chunks(piece) {
            decoder.push(piece);
            while let Some(element) = decoder.poll().unwrap() {
                read.push(jelly::read(element, &Limits::PEER).unwrap());
            }
        }
        prop_assert_eq!(read, vec![value]);
    }

    #[test]
    fn msgpack_is_read_as_it_was_written(value in nested(plain().boxed(), false)) {
        let message = msgpack::encode(&value).unwrap();
        prop_assert_eq!(msgpack::decode(&message, &Limits::MSGPACK).unwrap(), value);
    }

    #[test]
    fn a_message_that_is_cut_is_no_message(value in nested(plain().boxed(), false), at in any::<prop::sample::Index>()) {
        let message = msgpack::encode(&value).unwrap();
        let cut = &message[..at.index(message.len())];
        prop_assert!(msgpack::decode(cut, &Limits::MSGPACK).is_err());
    }
}
