//! Messages equal byte for byte those of the Python packages; other bytes are refused.

use udvla_policies::frames::vla_eval::{Kind, Message};
use udvla_policies::frames::{Array, FrameError, Value, openpi, vla_eval};

/// A frame that a package wrote (`vectors/frames.py`).
fn recorded(protocol: &str, name: &str) -> Vec<u8> {
    let all: serde_json::Value = serde_json::from_str(include_str!("vectors/frames.json")).unwrap();
    bytes(all[protocol][name].as_str().unwrap())
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&hexadecimal[i..i + 2], 16).unwrap();
    (0..hexadecimal.len()).step_by(2).map(byte).collect()
}

fn image() -> Value {
    Array::u8(&[2, 2, 3], (0..12).collect()).unwrap().into()
}

fn actions(steps: usize) -> Array {
    let row: Vec<f32> = (0..7).map(|i| i as f32 / 8.0).collect();
    let shape = if steps == 1 { vec![7] } else { vec![steps, 7] };
    Array::f32(&shape, &row.repeat(steps)).unwrap()
}

#[test]
fn openpi_frames_equal_those_of_its_client() {
    let observation = Value::map([
        ("observation/image", image()),
        ("observation/state", Array::f64(&[2], &[0.0, 0.0]).unwrap().into()),
        ("prompt", "pick".into()),
    ]);
    let answer = Value::map([
        ("actions", actions(2).into()),
        ("server_timing", Value::map([("infer_ms", 1.5.into()), ("count", 3.into())])),
    ]);
    let integers = [0, 127, 128, 255, 256, 65536, 1 << 40, -1, -33, -129, -40000, -(1 << 40)];
    let scalars = Value::map([
        ("none", Value::Nil),
        ("flags", Value::List(vec![true.into(), false.into()])),
        ("integers", Value::List(integers.map(Value::Int).into())),
        ("float", 0.1.into()),
        ("bytes", Value::Bytes(vec![0, 1])),
        ("long", "x".repeat(300).into()),
        ("empty", Value::Map(vec![])),
    ]);
    for (name, value) in [("observation", observation), ("answer", answer), ("scalars", scalars)] {
        let frame = recorded("openpi", name);
        assert_eq!(openpi::decode(&frame).unwrap(), value, "{name}");
        assert_eq!(openpi::encode(&value), frame, "{name}");
    }
    let generic = openpi::decode(&recorded("openpi", "generic")).unwrap();
    assert_eq!(generic, Value::map([("a", 0.5.into()), ("b", (-3).into())]));
}

/// Captured on a loopback connection between the packages' own client and server.
#[test]
fn the_captured_observation_is_the_recorded_one() {
    let captured = "83b16f62736572766174696f6e2f696d61676584c40b5f5f6e6461727261795f5fc3c40464617461\
        c40c000102030405060708090a0bc4056474797065a37c7531c405736861706593020203b16f62736572766174\
        696f6e2f737461746584c40b5f5f6e6461727261795f5fc3c40464617461c41000000000000000000000000000\
        000000c4056474797065a33c6638c40573686170659102a670726f6d7074a47069636b";
    assert_eq!(bytes(captured), recorded("openpi", "observation"));
}

#[test]
fn vla_eval_frames_equal_those_of_its_package() {
    let message = |kind, seq, payload| Message { kind, payload, seq, timestamp: 1_700_000_000.25 };
    let hello = Value::map([
        ("harness_version", "0.8.0".into()),
        ("protocol_version", 1.into()),
        ("benchmark", "a:B".into()),
    ]);
    let observation = Value::map([
        ("images", Value::map([("agentview", image())])),
        ("states", Array::f64(&[2], &[1.0, -2.5]).unwrap().into()),
        ("task_description", "pick".into()),
    ]);
    let error = Value::map([("error", "observation_failed: ValueError: x".into())]);
    let action = Value::map([("actions", actions(1).into())]);
    for (name, message) in [
        ("hello", message(Kind::Hello, 0, hello)),
        ("observation", message(Kind::Observation, 5, observation.clone())),
        ("action", message(Kind::Action, 5, action)),
        ("error", message(Kind::Error, 6, error)),
    ] {
        let frame = recorded("vla_eval", name);
        assert_eq!(vla_eval::decode(&frame).unwrap(), message, "{name}");
        assert_eq!(vla_eval::encode(&message), frame, "{name}");
    }
    let png = vla_eval::decode(&recorded("vla_eval", "observation-png")).unwrap();
    assert_eq!(png, message(Kind::Observation, 5, observation));
}

#[test]
fn what_is_no_message_says_why() {
    let whole = recorded("openpi", "observation");
    let message = |bytes: &[u8]| openpi::decode(bytes).unwrap_err().to_string();
    assert_eq!(message(&whole[..100]), "ends in the middle of a value, at byte 100");
    for end in 0..whole.len() {
        assert_eq!(openpi::decode(&whole[..end]), Err(FrameError::Cut { end }));
    }
    assert_eq!(message(&[&whole[..], &[0]].concat()), "goes on after its value, at byte 165");
    assert_eq!(message(&[0x91; 4000]), "nests values more than 32 deep");
    assert_eq!(message(&[0xd4, 1, 2]), "has an extension type, which the protocol does not have");
    assert_eq!(
        message(&[0x81, 1, 2]),
        "has a key that is not text, which the protocol does not have"
    );
    assert_eq!(
        message(&[0xa1, 0xff]),
        "has text that is not UTF-8, which the protocol does not have"
    );
    let envelope = |bytes: &[u8]| vla_eval::decode(bytes).unwrap_err().to_string();
    assert_eq!(envelope(&[0x80]), "is no vla-eval message: `type` is missing");
    assert_eq!(envelope(&[0xa2, b'h', b'i']), "is no vla-eval message: it is \"hi\"");
}

#[test]
fn lengths_that_are_only_announced_take_no_memory() {
    for header in [0xdb, 0xc6, 0xdd, 0xdf] {
        let error = openpi::decode(&[header, 0xff, 0xff, 0xff, 0xff, 1]).unwrap_err();
        assert_eq!(error, FrameError::Cut { end: 6 }, "{header:x}");
    }
    // 16 million list entries would take 500 MB.
    let mut list = vec![0xdd, 1, 0, 0, 0];
    list.resize(5 + (1 << 24), 0xc0);
    assert_eq!(openpi::decode(&list), Err(FrameError::TooMany { limit: 100_000 }));
}

#[test]
fn an_image_that_is_not_what_it_announces_is_refused() {
    let png = recorded("vla_eval", "observation-png");
    let position = png.windows(4).position(|window| window == [0x93, 2, 2, 3]).unwrap();
    let mut forged = png.clone();
    forged[position + 1] = 4;
    let error = vla_eval::decode(&forged).unwrap_err().to_string();
    assert!(error.contains("its shape is [2, 2, 3], announced were [4, 2, 3]"), "{error}");
}
