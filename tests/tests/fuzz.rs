//! Schemas, filters, sorts and documents made of whatever comes: nothing panics, hangs or grows
//! without bound, every refusal names what is wrong, and what is accepted can be used. Each case is
//! text in the grammar of JSON with the words of schemas and filters, then damaged. The seed is
//! printed with a failure; `BLOCKDB_SOAK_SECONDS` goes on with further seeds.

use blockdb::collection::query::{Candidate, Filter, IndexFields, Projection, Sort};
use blockdb::collection::schema::Schema;
use blockdb::host::simulated::Dice;
use blockdb::{Code, Document, Error};
use blockdb_tests::simulation::campaign::Campaign;
use blockdb_tests::simulation::mixed;

const WORDS: [&str; 46] = [
    "a",
    "b",
    "a.b",
    "",
    "$key",
    "$seq",
    "$time",
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$exists",
    "$and",
    "$or",
    "$not",
    "$prefix",
    "$binary",
    "$timestamp",
    "type",
    "properties",
    "required",
    "default",
    "items",
    "additionalProperties",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "enum",
    "$ref",
    "#/$defs/a",
    "#",
    "$defs",
    "format",
    "binary",
    "timestamp",
    "object",
    "string",
    "integer",
    "array",
    "number",
];
const SCALARS: [&str; 20] = [
    "0",
    "-1",
    "1.5",
    "1e300",
    "9223372036854775807",
    "-9223372036854775808",
    "true",
    "false",
    "null",
    "\"\"",
    "\"^a+$\"",
    "\"(a+)+$\"",
    "\"\\\\p{L}{1,200}\"",
    "\"2024-05-01T00:00:00Z\"",
    "\"AAEC\"",
    "[]",
    "{}",
    "\"\\u0000\"",
    "\"é\"",
    "12",
];

fn json(dice: &mut Dice, depth: u64, out: &mut String) {
    match dice.below(if depth == 0 { 4 } else { 10 }) {
        0..3 => out.push_str(SCALARS[dice.below(SCALARS.len() as u64) as usize]),
        3 => {
            out.push('"');
            out.push_str(WORDS[dice.below(WORDS.len() as u64) as usize]);
            out.push('"');
        }
        4 | 5 => {
            out.push('[');
            for at in 0..dice.below(4) {
                out.push_str(if at > 0 { "," } else { "" });
                json(dice, depth - 1, out);
            }
            out.push(']');
        }
        _ => object(dice, depth - 1, out),
    }
}

fn object(dice: &mut Dice, depth: u64, out: &mut String) {
    out.push('{');
    for at in 0..dice.below(5) {
        out.push_str(if at > 0 { "," } else { "" });
        out.push('"');
        out.push_str(WORDS[dice.below(WORDS.len() as u64) as usize]);
        out.push_str("\":");
        json(dice, depth, out);
    }
    out.push('}');
}

/// A text, one in four of them damaged.
fn text(dice: &mut Dice, depth: u64) -> Vec<u8> {
    let mut text = String::new();
    object(dice, depth, &mut text);
    let mut bytes = text.into_bytes();
    if dice.below(4) == 0 {
        let at = dice.below(bytes.len() as u64) as usize;
        match dice.below(3) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes.truncate(at),
            _ => bytes.insert(at, dice.below(256) as u8),
        }
    }
    bytes
}

/// A refusal is of the caller's making and says something.
fn refused(error: &Error) -> Result<(), String> {
    let expected =
        matches!(error.code(), Code::InvalidArgument | Code::TooLarge | Code::SchemaViolation);
    let told =
        !error.detail().is_empty() && error.errors().iter().all(|each| !each.rule.is_empty());
    match expected && told {
        true => Ok(()),
        false => Err(format!("refused as {error}, {:?}", error.errors())),
    }
}

macro_rules! accepted {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return refused(&error),
        }
    };
}

fn one(dice: &mut Dice) -> Result<(), String> {
    let (first, second) = (text(dice, 6), text(dice, 6));
    let document = accepted!(Document::from_json_slice(&first));
    let again = Document::from_json(&document.to_json()).map_err(|error| error.to_string())?;
    if again != document {
        return Err(format!("{} is another document when read again", document.to_json()));
    }
    let other = accepted!(Document::from_json_slice(&second));
    let (object, source) = (document.to_object(), other.to_object());
    match Schema::compile(&source) {
        Err(error) => refused(&error)?,
        Ok(schema) => {
            let checked = schema.check(document.clone());
            if let Ok(filled) = &checked {
                schema.check(filled.clone()).map_err(|e| format!("filled, then refused: {e}"))?;
            }
            checked.err().as_ref().map_or(Ok(()), refused)?;
            if !Schema::incompatibilities(Some(&schema), &schema).is_empty() {
                return Err(format!("{} is not compatible with itself", other.to_json()));
            }
        }
    }
    match Filter::parse(&source) {
        Err(error) => refused(&error)?,
        Ok(filter) => {
            let candidate = Candidate { key: "k", seq: 7, time_us: 9, document: &object };
            let matches = filter.matches(&candidate);
            let shown = Filter::parse(&filter.to_object()).map_err(|e| format!("shown: {e}"))?;
            if shown.matches(&candidate) != matches {
                return Err(format!("{} means another thing when shown", other.to_json()));
            }
        }
    }
    let word = |dice: &mut Dice| {
        let sign = if dice.below(2) == 0 { "-" } else { "" };
        format!("{sign}{}", WORDS[dice.below(WORDS.len() as u64) as usize])
    };
    let words: Vec<String> = (0..1 + dice.below(3)).map(|_| word(dice)).collect();
    if let Ok(fields) = IndexFields::parse(&words) {
        fields.keys(&object).err().as_ref().map_or(Ok(()), refused)?;
    }
    if let Ok(sort) = Sort::parse(&words) {
        sort.key(&Candidate { key: "k", seq: 7, time_us: 9, document: &object });
    }
    if let Ok(projection) = Projection::parse(&words) {
        let shown = projection.apply(&object);
        if shown.len() > object.len() {
            return Err("a projection shows more than there is".to_owned());
        }
    }
    Ok(())
}

#[test]
fn whatever_comes_is_used_or_refused_by_name() {
    let campaign = Campaign::begin("fuzz", "whatever_comes_is_used_or_refused_by_name", 400_000);
    let cases = campaign.cases;
    campaign.rounds(|_, seed| {
        for number in 0..cases {
            let mut dice = Dice::new(mixed(seed, number));
            if let Err(what) = one(&mut dice) {
                panic!(
                    "case {number} of seed {seed}: {what}\n  repeat: BLOCKDB_SEED={seed} cargo test \
                     -p blockdb-tests --test fuzz"
                );
            }
        }
    });
}
