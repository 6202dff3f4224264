//! Reads a filter from an object as users write it. All faults are collected and told at once, each
//! with its place in the filter, the operator, what was expected and what was found; only a limit
//! ends the reading at once.

use super::{Filter, Node, Side, Test};
use crate::collection::query::Target;
use crate::document::{Object, Value};
use crate::error::{Error, Result, Violation};
use crate::limits::{
    DOCUMENT_DEPTH_MAX, FILTER_CONDITIONS_MAX, FILTER_DEPTH_MAX, FILTER_FAULTS_MAX,
    FILTER_VALUES_MAX,
};

const OPERATORS: &str =
    "one of the operators $eq $ne $gt $gte $lt $lte $in $nin $exists $prefix $not";
const COMPARABLE: &str = "a boolean, number, string, binary or timestamp";

pub(super) fn parse(object: &Object) -> Result<Node> {
    let mut parser = Parser::default();
    let node = parser.filter(object, "", 1)?;
    if parser.faults.is_empty() { Ok(node) } else { Err(malformed(parser.faults)) }
}

fn malformed(faults: Vec<Violation>) -> Error {
    let told: Vec<String> = faults
        .iter()
        .take(3)
        .map(|fault| match fault.path.as_str() {
            "" => format!("{}, found {}", fault.rule, fault.found),
            path => format!("{path}: {}, found {}", fault.rule, fault.found),
        })
        .collect();
    let more = match faults.len() - told.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Error::invalid(format!("the filter is malformed: {}{more}", told.join("; ")))
        .with_errors(faults)
}

#[derive(Default)]
struct Parser {
    faults: Vec<Violation>,
    conditions: usize,
    values: usize,
}

impl Parser {
    /// A filter object, at nesting level `depth`.
    fn filter(&mut self, object: &Object, place: &str, depth: usize) -> Result<Node> {
        check_depth(depth)?;
        self.count_condition()?;
        let mut nodes = Vec::with_capacity(object.len());
        for (name, value) in object.iter() {
            let here = join(place, name);
            nodes.push(match name {
                "$and" => Node::and(self.branches(name, value, &here, depth)?),
                "$or" => Node::or(self.branches(name, value, &here, depth)?),
                "$not" => match value {
                    Value::Object(inner) => self.filter(inner, &here, depth + 1)?.negate(),
                    other => self.fault(&here, "$not takes a filter", found(other)),
                },
                _ => match Target::parse(name) {
                    Ok(target) => self.field(&target, value, &here, depth)?,
                    Err(error) => {
                        let rule = "a field path, $key, $seq, $time, $and, $or or $not";
                        self.fault(place, rule, error.detail().to_owned())
                    }
                },
            });
        }
        Ok(Node::and(nodes))
    }

    /// The filters of `$and` and `$or`.
    fn branches(
        &mut self,
        name: &str,
        value: &Value,
        place: &str,
        depth: usize,
    ) -> Result<Vec<Node>> {
        let rule = format!("{name} takes an array of at least one filter");
        let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
            let found =
                if value.as_array().is_some() { "an empty array".into() } else { found(value) };
            return Ok(vec![self.fault(place, &rule, found)]);
        };
        let mut nodes = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let here = join(place, &index.to_string());
            nodes.push(match item {
                Value::Object(inner) => self.filter(inner, &here, depth + 1)?,
                other => self.fault(&here, &rule, found(other)),
            });
        }
        Ok(nodes)
    }

    /// What stands behind a field: operators, or a value to equal.
    fn field(&mut self, target: &Target, value: &Value, place: &str, depth: usize) -> Result<Node> {
        match value {
            Value::Object(object) if object.iter().any(|(name, _)| name.starts_with('$')) => {
                self.operators(target, object, place, depth)
            }
            _ => self.condition(target, "$eq", value, place),
        }
    }

    fn operators(
        &mut self,
        target: &Target,
        object: &Object,
        place: &str,
        depth: usize,
    ) -> Result<Node> {
        check_depth(depth)?;
        let mut nodes = Vec::with_capacity(object.len());
        for (name, operand) in object.iter() {
            nodes.push(match (name, operand) {
                ("$not", Value::Object(inner))
                    if inner.iter().any(|(name, _)| name.starts_with('$')) =>
                {
                    self.operators(target, inner, &join(place, name), depth + 1)?.negate()
                }
                ("$not", other) => {
                    let rule = "$not of a field takes an object of operators";
                    self.fault(place, rule, found(other))
                }
                (name, operand) => self.condition(target, name, operand, place)?,
            });
        }
        Ok(Node::and(nodes))
    }

    /// One operator with its operand.
    fn condition(
        &mut self,
        target: &Target,
        name: &str,
        operand: &Value,
        place: &str,
    ) -> Result<Node> {
        self.count_condition()?;
        let test = match name {
            "$eq" => return Ok(self.any_of(target, name, std::slice::from_ref(operand), place)),
            "$ne" => {
                let operand = std::slice::from_ref(operand);
                return Ok(self.any_of(target, name, operand, place).negate());
            }
            "$in" => return self.list(target, name, operand, place),
            "$nin" => return Ok(self.list(target, name, operand, place)?.negate()),
            "$gt" => self.side(target, name, Side::Above, operand, place),
            "$gte" => self.side(target, name, Side::AtLeast, operand, place),
            "$lt" => self.side(target, name, Side::Below, operand, place),
            "$lte" => self.side(target, name, Side::AtMost, operand, place),
            "$exists" => match operand {
                Value::Bool(there) => Ok(Test::Exists(*there)),
                other => Err(self.fault(place, "$exists takes true or false", found(other))),
            },
            "$prefix" => match operand {
                Value::String(text) if self.fits(target, name, operand, place) => {
                    Ok(Test::Prefix(text.clone()))
                }
                Value::String(_) => Err(Node::nothing()),
                other => Err(self.fault(place, "$prefix takes a string", found(other))),
            },
            name if name.starts_with('$') => Err(self.fault(place, OPERATORS, quoted(name))),
            name => {
                let rule = "operators alone, or an object to equal ({\"$eq\": {…}} if its names \
                            begin with $)";
                Err(self.fault(place, rule, format!("both, among them the name {}", quoted(name))))
            }
        };
        Ok(match (test, target) {
            (Err(faulty), _) => faulty,
            // A record always has its own values.
            (Ok(Test::Exists(true)), Target::Key | Target::Seq | Target::Time) => Node::all(),
            (Ok(Test::Exists(false)), Target::Key | Target::Seq | Target::Time) => Node::nothing(),
            (Ok(test), _) => Node::Is(target.clone(), test),
        })
    }

    /// `$in` and `$nin`.
    fn list(&mut self, target: &Target, name: &str, operand: &Value, place: &str) -> Result<Node> {
        let Value::Array(values) = operand else {
            let rule = format!("{name} takes an array of values");
            return Ok(self.fault(place, &rule, found(operand)));
        };
        self.values += values.len();
        if self.values > FILTER_VALUES_MAX {
            let limit = "the number of values in $in and $nin of one filter";
            return Err(Error::too_large(limit, self.values as u64, FILTER_VALUES_MAX as u64));
        }
        Ok(self.any_of(target, name, values, place))
    }

    fn any_of(&mut self, target: &Target, name: &str, values: &[Value], place: &str) -> Node {
        // Not `all`, which would stop at the first fault.
        let faults = values.iter().filter(|value| !self.operand(target, name, value, place));
        match faults.count() {
            0 => Node::any_of(target.clone(), values.to_vec()),
            _ => Node::nothing(),
        }
    }

    fn side(
        &mut self,
        target: &Target,
        name: &str,
        side: Side,
        operand: &Value,
        place: &str,
    ) -> Result<Test, Node> {
        if matches!(operand, Value::Null | Value::Array(_) | Value::Object(_)) {
            return Err(self.fault(place, &format!("{name} takes {COMPARABLE}"), found(operand)));
        }
        match self.operand(target, name, operand, place) {
            true => Ok(Test::Side(side, operand.clone())),
            false => Err(Node::nothing()),
        }
    }

    /// Whether the operand is a value that a document can hold, and of the record's own type.
    fn operand(&mut self, target: &Target, name: &str, operand: &Value, place: &str) -> bool {
        if let Err(what) = check_value(operand, 1) {
            self.fault(place, &format!("{name} takes a value that a document can hold"), what);
            return false;
        }
        self.fits(target, name, operand, place)
    }

    /// Whether the operand is of the type of the record's own value: any other type would quietly
    /// match nothing, which nobody who wrote it means.
    fn fits(&mut self, target: &Target, name: &str, operand: &Value, place: &str) -> bool {
        let expected = match (target, operand) {
            (Target::Key, Value::String(_))
            | (Target::Seq, Value::Int(_) | Value::Float(_))
            | (Target::Time, Value::Timestamp(_))
            | (Target::Field(_), _) => return true,
            (Target::Key, _) => "strings",
            (Target::Seq, _) => "numbers",
            (Target::Time, _) => "timestamps, {\"$timestamp\": \"<RFC 3339>\"} in JSON",
        };
        let rule = format!("{name} of {} takes {expected}", target.as_str());
        self.fault(place, &rule, found(operand));
        false
    }

    fn count_condition(&mut self) -> Result<()> {
        self.conditions += 1;
        if self.conditions > FILTER_CONDITIONS_MAX {
            let limit = "the number of conditions of a filter";
            return Err(Error::too_large(
                limit,
                self.conditions as u64,
                FILTER_CONDITIONS_MAX as u64,
            ));
        }
        Ok(())
    }

    /// Notes a fault; the node in its place is never used.
    fn fault(&mut self, place: &str, rule: &str, found: String) -> Node {
        if self.faults.len() < FILTER_FAULTS_MAX {
            self.faults.push(Violation { path: place.to_owned(), rule: rule.to_owned(), found });
        }
        Node::nothing()
    }
}

fn check_depth(depth: usize) -> Result<()> {
    if depth > FILTER_DEPTH_MAX {
        let limit = "the nesting of a filter";
        return Err(Error::too_large(limit, depth as u64, FILTER_DEPTH_MAX as u64));
    }
    Ok(())
}

/// Refuses NaN, infinities and a nesting that would make comparing recurse without bound.
fn check_value(value: &Value, depth: usize) -> Result<(), String> {
    match value {
        _ if depth > DOCUMENT_DEPTH_MAX => {
            Err(format!("more than {DOCUMENT_DEPTH_MAX} levels of arrays and objects"))
        }
        Value::Float(float) if !float.is_finite() => Err(float.to_string()),
        Value::Array(items) => items.iter().try_for_each(|item| check_value(item, depth + 1)),
        Value::Object(object) => {
            object.iter().try_for_each(|(_, value)| check_value(value, depth + 1))
        }
        _ => Ok(()),
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

/// A value in a few words.
fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(text) => format!("the string {}", quoted(text)),
        Value::Binary(_) => "binary".to_owned(),
        Value::Timestamp(time) => format!("the timestamp {time}"),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

impl TryFrom<&Object> for Filter {
    type Error = Error;

    fn try_from(object: &Object) -> Result<Self> {
        Filter::parse(object)
    }
}
