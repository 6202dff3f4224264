//! The patterns of a schema: regular expressions that are searched for in a text, in time linear in
//! the text. The syntax is that of the `regex` crate; its classes mean what ECMA-262 says, as JSON
//! Schema recommends: `\d`, `\w` and `\b` know ASCII only. Texts, programs and memory are bounded;
//! look-around and back-references, which no linear matcher has, are refused when the schema is
//! compiled.

use std::collections::HashMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::limits::{
    SCHEMA_DEPTH_MAX, SCHEMA_PATTERN_BYTES_MAX, SCHEMA_PATTERN_CACHE_BYTES_MAX,
    SCHEMA_PATTERN_PROGRAM_BYTES_MAX,
};

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Whether the pattern is found anywhere in `text`.
    pub(super) fn is_found_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The pattern as it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Compiles the patterns of one schema, each text once, within one budget for all programs.
pub(super) struct Patterns<'s> {
    known: HashMap<&'s str, Result<Arc<Pattern>, String>>,
    bytes_left: usize,
}

impl<'s> Patterns<'s> {
    pub(super) fn new() -> Self {
        Patterns { known: HashMap::new(), bytes_left: SCHEMA_PATTERN_PROGRAM_BYTES_MAX }
    }

    /// The pattern of `text`; the refusal says in one line what is wrong with it.
    pub(super) fn get(&mut self, text: &'s str) -> Result<Arc<Pattern>, String> {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let made = self.compile(text);
        self.known.insert(text, made.clone());
        made
    }

    /// A program's size is known only as the limit that it fits in, so limits are tried upwards.
    /// Trying costs time even if nothing comes of it, and is charged like a program.
    fn compile(&mut self, text: &str) -> Result<Arc<Pattern>, String> {
        if text.len() > SCHEMA_PATTERN_BYTES_MAX {
            return Err(format!("{} bytes, the limit is {SCHEMA_PATTERN_BYTES_MAX}", text.len()));
        }
        let translated = translate(text);
        let mut limit = SCHEMA_PATTERN_PROGRAM_BYTES_MAX / 512;
        while self.bytes_left > 0 {
            let bytes = limit.min(self.bytes_left);
            let made = RegexBuilder::new(&translated)
                .size_limit(bytes)
                .dfa_size_limit(SCHEMA_PATTERN_CACHE_BYTES_MAX)
                .nest_limit(SCHEMA_DEPTH_MAX as u32)
                .build();
            match made {
                Err(regex::Error::CompiledTooBig(_)) if limit < self.bytes_left => limit *= 2,
                Err(regex::Error::CompiledTooBig(_)) => self.bytes_left = 0,
                other => {
                    self.bytes_left -= bytes;
                    return other
                        .map(|regex| Arc::new(Pattern { text: text.to_owned(), regex }))
                        .map_err(|error| reason(&error.to_string()));
                }
            }
        }
        Err(format!(
            "more than the {SCHEMA_PATTERN_PROGRAM_BYTES_MAX} bytes that the programs of all \
             patterns of a schema may take"
        ))
    }
}

/// Writes the classes that ECMA-262 understands otherwise as it understands them. No replacement
/// depends on where it stands: a set may stand in a set, and a boundary in a set is refused as it
/// was before.
fn translate(text: &str) -> String {
    let mut translated = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        if char != '\\' {
            translated.push(char);
            continue;
        }
        match rest.next() {
            Some('d') => translated.push_str("[0-9]"),
            Some('D') => translated.push_str("[^0-9]"),
            Some('w') => translated.push_str("[0-9A-Za-z_]"),
            Some('W') => translated.push_str("[^0-9A-Za-z_]"),
            Some('s') => translated.push_str(r"[\t-\r\p{Zs}\u{2028}\u{2029}\u{FEFF}]"),
            Some('S') => translated.push_str(r"[^\t-\r\p{Zs}\u{2028}\u{2029}\u{FEFF}]"),
            // `\b{start}` is another assertion and no repetition.
            Some(boundary @ ('b' | 'B')) if rest.peek() != Some(&'{') => {
                translated.push_str("(?-u:\\");
                translated.push(boundary);
                translated.push(')');
            }
            other => {
                translated.push('\\');
                translated.extend(other);
            }
        }
    }
    translated
}

/// The crate draws the pattern with a marker below the fault, and says what it is in the last line.
fn reason(drawing: &str) -> String {
    let last = drawing.lines().next_back().unwrap_or("not a regular expression").trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Patterns::new().get(pattern).unwrap().is_found_in(text)
    }

    #[test]
    fn digits_words_and_boundaries_are_ascii_and_the_rest_is_unicode() {
        for (pattern, yes, no) in [
            (r"^\d$", "7", "٧"),
            (r"^\D$", "٧", "7"),
            (r"^\w+$", "a_9", "ä"),
            (r"^\W$", "ä", "a"),
            (r"^[\w.-]+$", "a.b-c", "a b"),
            (r"^[^\d-]$", "x", "-"),
            (r"^[\Wa]$", "a", "b"),
            (r"\bx\b", "äxä", "axa"),
            (r"a\Bb", "ab", "a b"),
            (r"\\d", r"\d", "1"),
            (r"^.$", "ä", "ää"),
            (r"^\s$", "\u{2003}", "x"),
            (r"^[\s-]+\S$", "\u{FEFF}-\tx", "x "),
            (r"^\p{L}$", "я", "1"),
            (r"^\u00e4\/$", "ä/", "a/"),
            (r"^\u{1F980}$", "🦀", "a"),
            (r"(?i)^ä$", "Ä", "a"),
            (r"\b{start}x", " xa", "ax"),
        ] {
            assert!(matches(pattern, yes) && !matches(pattern, no), "{pattern}");
        }
        for refused in [r"[\b]", r"a\", r"\1", "(?=a)", "(?<!a)", "[z-a]", "a**b)", "\\z{"] {
            assert!(Patterns::new().get(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn programs_share_one_budget() {
        let texts: Vec<String> = (0..600).map(|at| format!("^a{at}$")).collect();
        let mut patterns = Patterns::new();
        assert!(texts[..512].iter().all(|text| patterns.get(text).is_ok()));
        assert!(texts[512..].iter().all(|text| patterns.get(text).is_err()));
        assert!(patterns.get(&texts[0]).is_ok(), "what is compiled stays");
        let mut patterns = Patterns::new();
        assert!(patterns.get(r"^\p{L}{1,255}$").is_ok());
        assert!(patterns.get(r"((\p{L}{99}){99}){99}").is_err());
        assert!(patterns.get("a").unwrap_err().contains("all patterns"), "trying has its price");
    }
}
