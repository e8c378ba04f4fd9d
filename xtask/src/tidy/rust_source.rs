//! A Rust source split into code and comments, line by line, with literals emptied.
//!
//! Enough of a lexer to keep rules about code from firing inside strings and comments, and rules
//! about comments from firing inside strings. It never fails: a source that does not lex is the
//! compiler's to report.

/// One line of source.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Line {
    /// Code without comments; strings and characters are reduced to their quotes.
    pub code: String,
    /// Text of comments, doc comments included.
    pub comment: String,
}

/// Splits `source`; one item for each line, also for an empty last one.
pub fn lines(source: &str) -> Vec<Line> {
    let mut splitter = Splitter { rest: source, lines: vec![Line::default()] };
    splitter.split();
    splitter.lines
}

/// Whether `text` holds `word` with no letter, digit or underscore on either side.
pub fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}

/// The attributes of a source: line of the `#`, and the text between the brackets.
pub fn attributes(lines: &[Line]) -> Vec<(usize, String)> {
    let code: Vec<&str> = lines.iter().map(|line| line.code.as_str()).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices('#') {
        let rest = &code[at + 1..];
        let rest = rest.strip_prefix('!').unwrap_or(rest);
        let Some(rest) = rest.strip_prefix('[') else { continue };
        let mut depth = 1;
        let end = rest.char_indices().find_map(|(end, c)| {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(end)
        });
        if let Some(end) = end {
            let line = 1 + code[..at].matches('\n').count();
            found.push((line, rest[..end].to_owned()));
        }
    }
    found
}

/// For each line, whether it is free of items under `#[cfg(test)]`.
pub fn product(lines: &[Line]) -> Vec<bool> {
    const MARK: &str = "#[cfg(test)]";
    // Open brackets of the item that is passed over, if one is.
    let mut depth: Option<usize> = None;
    let mut is_product = |line: &Line| {
        let mut rest = line.code.as_str();
        if depth.is_none() {
            let Some(at) = rest.find(MARK) else { return true };
            rest = &rest[at + MARK.len()..];
        }
        let mut open = depth.unwrap_or(0);
        for c in rest.chars() {
            match c {
                '{' | '(' | '[' => open += 1,
                '}' | ')' | ']' => open = open.saturating_sub(1),
                _ => {}
            }
            if open == 0 && (c == '}' || c == ';') {
                depth = None;
                return false;
            }
        }
        depth = Some(open);
        false
    };
    lines.iter().map(&mut is_product).collect()
}

struct Splitter<'a> {
    rest: &'a str,
    lines: Vec<Line>,
}

impl Splitter<'_> {
    fn split(&mut self) {
        while let Some(c) = self.rest.chars().next() {
            if self.rest.starts_with("//") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.take_comment(end);
            } else if self.rest.starts_with("/*") {
                let end = block_comment(self.rest);
                self.take_comment(end);
            } else if let Some((open, end)) = literal(self.rest, self.after_word()) {
                self.take_literal(open, end);
            } else {
                self.rest = &self.rest[c.len_utf8()..];
                match c {
                    '\n' => self.lines.push(Line::default()),
                    c => self.last().code.push(c),
                }
            }
        }
    }

    fn last(&mut self) -> &mut Line {
        let at = self.lines.len() - 1;
        &mut self.lines[at]
    }

    /// Whether the code so far ends inside a word, so that an `r` is not the start of a literal.
    fn after_word(&mut self) -> bool {
        self.last().code.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    }

    fn take_comment(&mut self, end: usize) {
        let (comment, rest) = self.rest.split_at(end);
        self.rest = rest;
        for (at, part) in comment.split('\n').enumerate() {
            if at > 0 {
                self.lines.push(Line::default());
            }
            self.last().comment.push_str(part);
        }
    }

    /// Keeps the quotes of a literal and the lines it spans.
    fn take_literal(&mut self, open: char, end: usize) {
        let (literal, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.last().code.push(open);
        for _ in literal.matches('\n') {
            self.lines.push(Line::default());
        }
        self.last().code.push(open);
    }
}

/// Length of the block comment, nested ones included, that `text` starts with.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Quote and length of the string or character literal that `text` starts with, if it does.
fn literal(text: &str, after_word: bool) -> Option<(char, usize)> {
    let prefix = if after_word { 0 } else { literal_prefix(text) };
    let body = &text[prefix..];
    let raw = text[..prefix].ends_with('r');
    if raw {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let close = format!("\"{}", "#".repeat(hashes));
        let inside = body[hashes..].strip_prefix('"')?;
        let start = text.len() - inside.len();
        let end = inside.find(&close).map_or(text.len(), |end| start + end + close.len());
        return Some(('"', end));
    }
    match body.chars().next()? {
        '"' => Some(('"', prefix + quoted(body, '"'))),
        '\'' => {
            let mut inside = body.chars().skip(1);
            let first = inside.next()?;
            // `'a` without a closing quote is a lifetime.
            (first == '\\' || inside.next() == Some('\''))
                .then(|| ('\'', prefix + quoted(body, '\'')))
        }
        _ => None,
    }
}

/// Length of `r`, `b`, `br`, `c` or `cr` where a literal follows.
fn literal_prefix(text: &str) -> usize {
    ["br", "cr", "r", "b", "c"]
        .iter()
        .find(|prefix| {
            let Some(rest) = text.strip_prefix(**prefix) else { return false };
            match prefix.ends_with('r') {
                true => rest.trim_start_matches('#').starts_with('"'),
                false => rest.starts_with(['"', '\'']),
            }
        })
        .map_or(0, |prefix| prefix.len())
}

/// Length of a literal with escapes, both quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &str) -> Vec<String> {
        lines(source).into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn literals_are_emptied_and_lifetimes_are_not_literals() {
        assert_eq!(code(r#"let a = "x // y \" z"; f('"', '\'');"#), [r#"let a = ""; f('', '');"#]);
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), ["fn f<'a>(x: &'a str) {}"]);
        assert_eq!(
            code("let r = r#\"a \" b\"#; br\"x\"; var\"y\""),
            ["let r = \"\"; \"\"; var\"\""]
        );
        assert_eq!(code("b'x' b\"y\" c\"z\" '\\u{41}'"), ["'' \"\" \"\" ''"]);
    }

    #[test]
    fn lines_stay_in_step_over_comments_and_strings() {
        let source = "a /* 1\n/* 2 */ 3 */ b\n\"x\ny\" c // d\ne";
        let lines = lines(source);
        assert_eq!(lines.len(), source.split('\n').count());
        assert_eq!(lines[1], Line { code: " b".into(), comment: "/* 2 */ 3 */".into() });
        assert_eq!(lines[3], Line { code: "\" c ".into(), comment: "// d".into() });
    }

    #[test]
    fn open_ends_are_survived() {
        for source in ["\"", "'", "r#\"", "/*", "'\\", "#[", "é'é", "b", "r#"] {
            assert!(!lines(source).is_empty(), "{source}");
        }
    }

    #[test]
    fn attributes_may_span_lines_and_nest() {
        let source = "#![a]\n#[cfg_attr(x,\n  b(\"]\", [1]))]\nlet y = x[#[c] 0];\n";
        let found = attributes(&lines(source));
        let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 4]);
        assert_eq!(found[1].1, "cfg_attr(x,\n  b(\"\", [1]))");
    }

    #[test]
    fn an_item_under_test_ends_where_it_ends() {
        let is_product = |source: &str| product(&lines(source));
        assert_eq!(is_product("#[cfg(test)]\nmod tests;\na"), [false, false, true]);
        assert_eq!(is_product("#[cfg(test)] use a::{b};\na"), [false, true]);
        let nested = "a\n#[cfg(test)]\nfn f(x: [u8; 2]) {\n  { \"}\" }\n}\nb";
        assert_eq!(is_product(nested), [true, false, false, false, false, true]);
    }

    #[test]
    fn words_have_edges() {
        assert!(has_word("a TODO: b", "TODO") && has_word("TODO", "TODO"));
        assert!(!has_word("TODOS my_TODO", "TODO"));
    }
}
