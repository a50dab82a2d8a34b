//! Events at and beyond the edges of what the contract takes, as JSON texts.

use serde_json::Value;

/// Whether two JSON values say the same: numbers by value, and a member that is absent is a null one or
/// an empty list, as the mapping of protobuf leaves to its writers.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| is_same(value, other)))
        }
        (one, other) => one == other,
    }
}

/// Every candidate, whether or not it keeps the rules.
pub(crate) fn all() -> Vec<String> {
    let mut all = Vec::new();
    all.extend(depths().into_iter().map(|data| custom("T", &data)));
    all.extend(
        numbers()
            .into_iter()
            .map(|number| custom("T", &format!(r#"{{"n":{number}}}"#))),
    );
    for text in texts() {
        let text = Value::String(text).to_string();
        all.push(custom("T", &format!(r#"{{"text":{text}}}"#)));
        all.push(custom("T", &format!(r#"{{{text}:null}}"#)));
        all.push(format!(
            r#"{{"sourceService":"s","custom":{{"type":{text}}}}}"#
        ));
        all.push(format!(
            r#"{{"sourceService":{text},"custom":{{"type":"T"}}}}"#
        ));
        all.push(series(&text, "\"2024-01-01\"", "\"1\""));
        all.push(failed(&text));
        all.push(crossed(&text));
        all.push(transition(&text));
        all.push(definition(&text));
        all.push(alert(&text));
        all.push(delivery(&text));
    }
    all.extend(complete());
    all.extend(parts());
    all.extend(
        values()
            .into_iter()
            .map(|value| series("\"A\"", "\"2024-01-01\"", value)),
    );
    all.extend(
        dates()
            .into_iter()
            .map(|date| series("\"A\"", date, "\"1\"")),
    );
    all.extend(sizes());
    all
}

fn custom(kind: &str, data: &str) -> String {
    format!(r#"{{"sourceService":"s","custom":{{"type":"{kind}","data":{data}}}}}"#)
}

fn series(id: &str, date: &str, value: &str) -> String {
    format!(
        r#"{{"sourceService":"s","seriesCollected":{{"seriesId":{id},"dataPoints":[{{"date":{date},"value":{value}}}]}}}}"#
    )
}

fn failed(text: &str) -> String {
    format!(
        r#"{{"sourceService":"s","collectionFailed":{{"seriesId":"A","errorCode":"E","errorMessage":{text},"attempt":1}}}}"#
    )
}

fn crossed(text: &str) -> String {
    format!(
        r#"{{"sourceService":"s","thresholdCrossed":{{"patternId":"p","direction":"CROSSING_DIRECTION_ENTERED","message":{text},"labels":{{{text}:{text}}}}}}}"#
    )
}

fn transition(text: &str) -> String {
    format!(
        r#"{{"sourceService":"s","regimeTransition":{{"modelId":"m","toRegime":"r","fromRegime":{text}}}}}"#
    )
}

fn definition(text: &str) -> String {
    format!(
        r#"{{"sourceService":"s","definitionChanged":{{"kind":"DEFINITION_KIND_PATTERN","definitionId":"d","change":"DEFINITION_CHANGE_STATED","name":{text},"reason":{text},"seriesIds":["A",{text}],"after":{{"state":{text},"since":"2024-01-01","active":false}}}}}}"#
    )
}

fn alert(text: &str) -> String {
    format!(
        r#"{{"sourceService":"s","alertChanged":{{"alertId":"a","ruleId":"r","owner":"o","after":"ALERT_STATE_FIRING","severity":"info","title":{text},"labels":{{{text}:{text}}},"note":{text}}}}}"#
    )
}

fn delivery(text: &str) -> String {
    format!(
        r#"{{"sourceService":"s","deliveryChanged":{{"deliveryId":"d","alertId":"a","owner":"o","channelId":"c","channelKind":"log","state":"DELIVERY_STATE_SENT","receipt":{text},"error":{text}}}}}"#
    )
}

/// Events in which nothing is left out, with each variant of what has variants.
fn complete() -> Vec<String> {
    let with = |payload: &str| {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        format!(r#"{{"sourceService":"s","traceparent":"{trace}",{payload}}}"#)
    };
    let (time, id) = ("2024-01-02T03:04:05.000006Z", "01HV6V6W3QZX9J8Y7K6M5N4P3R");
    let state =
        |state: &str| format!(r#"{{"state":"{state}","since":"2024-01-01","active":true}}"#);
    let mut all = vec![with(&format!(
        r#""collectionFailed":{{"seriesId":"A","errorCode":"E","errorMessage":"m","attempt":4294967295,"nextAttemptAt":"{time}"}}"#
    ))];
    for direction in ["ENTERED", "CLEARED", "REVISED", "NO_DATA", "DATA"] {
        let direction = format!("CROSSING_DIRECTION_{direction}");
        all.push(with(&format!(
            r#""thresholdCrossed":{{"patternId":"p","patternName":"n","patternVersion":"v","direction":"{direction}","severity":"info","labels":{{"k":"v"}},"value":"1.50","threshold":"-2","inputs":[{{"seriesId":"A","value":"0.1","date":"2024-01-01","knownFrom":"{time}"}}],"previousState":"s","previousStateSince":"{time}","causeEventId":"{id}","causePosition":"18446744073709551615","observationDate":"2024-01-01","message":"m","revisesEventId":"{id}","revisedDirection":"{direction}","withdrawn":true,"active":true}}"#
        )));
    }
    all.push(with(&format!(
        r#""regimeTransition":{{"modelId":"m","fromRegime":"a","toRegime":"b","since":"2024-01-01","score":"0.25","triggerPatternIds":["p","q"],"causeEventId":"{id}","causePosition":"1","modelVersion":"v","revised":true,"withdrawn":true,"revisesEventId":"{id}","definitionEventId":"{id}","currentRegime":"c"}}"#
    )));
    for state in ["FIRING", "ACKNOWLEDGED", "RESOLVED", "WITHDRAWN"] {
        let state = format!("ALERT_STATE_{state}");
        all.push(with(&format!(
            r#""alertChanged":{{"alertId":"{id}","ruleId":"{id}","owner":"o","before":"{state}","after":"{state}","severity":"critical","title":"t","labels":{{"k":"v"}},"causeLogId":"l","causeEventId":"{id}","causePosition":"9007199254740993","changedBy":"b","note":"n"}}"#
        )));
    }
    let kinds = ["FIRING", "RESOLVED", "CORRECTION"].into_iter().cycle();
    let states = ["PENDING", "SENT", "FAILED", "SUPPRESSED", "GIVEN_UP"];
    for (state, kind) in states.into_iter().zip(kinds) {
        all.push(with(&format!(
            r#""deliveryChanged":{{"deliveryId":"{id}","alertId":"{id}","owner":"o","channelId":"{id}","channelKind":"ntfy","kind":"DELIVERY_KIND_{kind}","state":"DELIVERY_STATE_{state}","suppressedBy":"cooldown","attempts":4294967295,"receipt":"r","error":"e"}}"#
        )));
    }
    for kind in ["PATTERN", "REGIME"] {
        for change in ["DEPLOYED", "REPLACED", "SUSPENDED", "REMOVED", "STATED"] {
            all.push(with(&format!(
                r#""definitionChanged":{{"kind":"DEFINITION_KIND_{kind}","definitionId":"d","name":"n","change":"DEFINITION_CHANGE_{change}","version":"v","previousVersion":"w","before":{},"after":{},"reason":"r","seriesIds":["A","B"],"causeEventId":"{id}","causePosition":"9007199254740993"}}"#,
                state("active"),
                state("inactive"),
            )));
        }
    }
    all
}

/// Parts of a release, of numbers within and beyond what they may be. Each is published twice, so that the
/// engine gets a release that begins anew as well.
fn parts() -> Vec<String> {
    let known = r#""2024-02-01T00:00:00Z""#;
    let part = |number: u32, count: u32, known_from: &str| {
        format!(
            r#"{{"sourceService":"s","seriesCollected":{{"seriesId":"PARTS","dataPoints":[{{"date":"2024-01-0{}","value":"1","knownFrom":{known_from}}}],"collectedAt":"2024-02-01T12:00:00Z","releasePart":{{"number":{number},"count":{count}}}}}}}"#,
            number.clamp(1, 9)
        )
    };
    let numbers = [
        (0, 2),
        (1, 1),
        (1, 2),
        (2, 2),
        (3, 2),
        (1, 3),
        (3, 3),
        (1, 1_000),
        (1, 1_001),
        (1_000, 1_000),
    ];
    let mut all: Vec<_> = numbers
        .into_iter()
        .map(|(number, count)| part(number, count, known))
        .collect();
    // What became known at no time, or at two.
    all.push(part(1, 2, "null"));
    all.push(part(1, 2, known).replace("}],", r#"},{"date":"2024-01-09","value":"2"}],"#));
    all
}

/// Objects, lists and both in turn, from one level to far more than any reader takes.
fn depths() -> Vec<String> {
    let object = |inner: String| format!(r#"{{"a":{inner}}}"#);
    let list = |inner: String| format!("[{inner}]");
    let mut all = Vec::new();
    for depth in (1..40).chain([60, 100, 124]) {
        all.push((0..depth).fold("1".to_owned(), |inner, _| object(inner)));
        all.push(object(
            (1..depth).fold("1".to_owned(), |inner, _| list(inner)),
        ));
        all.push(object((1..depth).fold(
            "null".to_owned(),
            |inner, level| match level % 2 {
                0 => object(inner),
                _ => list(inner),
            },
        )));
    }
    all
}

fn numbers() -> [&'static str; 18] {
    [
        "0",
        "-0.0",
        "0.1",
        "1e-7",
        "1e21",
        "123456789012345680000",
        "9007199254740991",
        "9007199254740993",
        "1.7976931348623157e308",
        "1.8e308",
        "-1.7976931348623157e308",
        "2.2250738585072014e-308",
        "5e-324",
        "1e-400",
        "0.30000000000000004",
        "NaN",
        "Infinity",
        "1e9999999999",
    ]
}

/// One of each kind of character that some encoder or decoder treats apart, and lengths at the bounds.
pub(crate) fn texts() -> Vec<String> {
    let characters = [
        "\u{0}",
        "\u{1}",
        "\u{8}",
        "\t",
        "\n",
        "\r",
        "\u{1b}[2J",
        "\u{1f}",
        " ",
        "\"",
        "\\",
        "/",
        "\u{7f}",
        "\u{80}",
        "\u{85}",
        "\u{a0}",
        "\u{ad}",
        "é",
        "e\u{301}",
        "ß",
        "\u{200b}",
        "\u{200d}",
        "\u{202e}",
        "\u{2028}",
        "\u{2029}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{feff}",
        "\u{fffd}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{10000}",
        "👩‍👩‍👧",
        "\u{1fffe}",
        "\u{10ffff}",
        "<script>",
        "=HYPERLINK(\"x\")",
        "%00",
        "\\u0000",
        "__proto__",
        "$ref",
        "@type",
        "null",
        "0",
        "",
    ];
    let mut all: Vec<String> = characters.iter().map(|text| (*text).to_owned()).collect();
    all.extend(characters.iter().map(|text| format!("a{text}b")));
    all.extend([49, 50, 51, 99, 100, 101, 9_999, 10_001].map(|length| "a".repeat(length)));
    all.extend([50, 100].map(|length| "\u{10ffff}".repeat(length)));
    all
}

fn values() -> [&'static str; 21] {
    [
        "null",
        "\"0\"",
        "\"-0\"",
        "\"+1\"",
        "\"1.\"",
        "\".5\"",
        "\"007\"",
        "\"4.10\"",
        "\"1e3\"",
        "\"1E-3\"",
        "\"0x10\"",
        "\"NaN\"",
        "\"-Infinity\"",
        "\"\"",
        "\" 1\"",
        "\"1,5\"",
        "\"79228162514264337593543950335\"",
        "\"79228162514264337593543950336\"",
        "\"0.0000000000000000000000000001\"",
        "\"0.00000000000000000000000000001\"",
        "1",
    ]
}

fn dates() -> [&'static str; 14] {
    [
        "\"0000-02-03\"",
        "\"0001-01-01\"",
        "\"1582-10-10\"",
        "\"1900-02-29\"",
        "\"2000-02-29\"",
        "\"2024-02-30\"",
        "\"2024-13-01\"",
        "\"2024-1-1\"",
        "\"2024-01-01T00:00:00Z\"",
        "\"9999-12-31\"",
        "\"10000-01-01\"",
        "\"-0001-01-01\"",
        "\"\"",
        "null",
    ]
}

/// Much of everything: bytes, members, elements, points.
fn sizes() -> Vec<String> {
    let list = |unit: &str, count: usize| vec![unit; count].join(",");
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|n| format!(r#""k{n}":{n}"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    let points = |count: i32| {
        let first = chrono::NaiveDate::from_ymd_opt(1900, 1, 1).unwrap();
        let dates = first.iter_days().take(count.try_into().unwrap());
        let points: Vec<_> = dates
            .map(|date| format!(r#"{{"date":"{date}","value":"1"}}"#))
            .collect();
        format!(
            r#"{{"sourceService":"s","seriesCollected":{{"seriesId":"B","dataPoints":[{}]}}}}"#,
            points.join(",")
        )
    };
    vec![
        custom("T", "{}"),
        custom("T", r#"{"list":[],"object":{}}"#),
        custom("T", &format!(r#"{{"text":"{}"}}"#, "a".repeat(1_000_000))),
        custom("T", &format!(r#"{{"text":"{}"}}"#, "a".repeat(1_048_576))),
        custom("T", &format!(r#"{{"list":[{}]}}"#, list("null", 100_000))),
        custom("T", &format!(r#"{{"list":[{}]}}"#, list("[[]]", 50_000))),
        custom("T", &members(10_000)),
        points(10_000),
        points(40_000),
        r#"{"sourceService":"s"}"#.to_owned(),
        r#"{"sourceService":"s","heartbeat":{}}"#.to_owned(),
        r#"{"sourceService":"s","traceparent":"nonsense","custom":{"type":"T"}}"#.to_owned(),
    ]
}
