//! Relative links in Markdown files lead somewhere.

use super::Fault;
use super::tree::{self, Tree};

/// Links of one file whose target is not in the tree.
pub fn faults(path: &str, text: &str, tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, target) in links(text) {
        let file = target.split(['#', '?']).next().unwrap_or_default();
        let is_url = target.contains("://") || target.starts_with("mailto:");
        if is_url || file.is_empty() {
            continue;
        }
        let found = resolve(tree::parent(path), file).is_some_and(|path| tree.has(&path));
        if !found {
            let what = format!("link to `{target}` leads nowhere");
            let hint = "paths count from the folder of this file";
            faults.push(Fault::new(path, line, what, hint));
        }
    }
    faults
}

/// Line and target of every inline link and reference definition outside code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for (at, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark)) {
            fence = match fence {
                Some(open) if open == mark => None,
                None => Some(mark),
                open => open,
            };
            continue;
        }
        if fence.is_some() {
            continue;
        }
        let line = without_code(line);
        for (open, _) in line.match_indices("](") {
            let rest = &line[open + 2..];
            if let Some(end) = rest.find(')') {
                // A title may follow the target: [text](target "title").
                let target = rest[..end].split_whitespace().next().unwrap_or_default();
                found.push((at + 1, target.trim_matches(['<', '>']).to_owned()));
            }
        }
        let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
        if let Some(target) = definition.and_then(|(_, rest)| rest.split_whitespace().next()) {
            found.push((at + 1, target.to_owned()));
        }
    }
    found
}

/// The line with its inline code emptied.
fn without_code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    // With an odd number of back-ticks the last one opens nothing.
    let whole = if parts.len() % 2 == 1 { parts.len() } else { parts.len() - 1 };
    let kept = parts.iter().enumerate().filter(|(at, _)| at % 2 == 0 || *at >= whole);
    kept.map(|(_, part)| *part).collect()
}

/// `target` seen from `dir`, with `.` and `..` worked out; `None` when it leaves the tree.
fn resolve(dir: &str, target: &str) -> Option<String> {
    let absolute = target.starts_with('/');
    let mut parts: Vec<&str> = if absolute { Vec::new() } else { dir.split('/').collect() };
    parts.retain(|part| !part.is_empty());
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<usize> {
        let files = ["README.md", "docs/a.md", "docs/b c.png", "crates/x/src/lib.rs"];
        let tree = Tree::new(files.iter().map(|path| ((*path).to_owned(), 1)));
        faults(path, text, &tree).iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn links_count_from_the_file_they_stand_in() {
        assert_eq!(broken("README.md", "[a](docs/a.md) [c](crates/x) ![i](./docs/a.md)\n"), [0; 0]);
        assert_eq!(broken("docs/a.md", "[r](../README.md#top) [b](a.md \"title\")\n"), [0; 0]);
        assert_eq!(broken("docs/a.md", "[r](README.md)\n\n[x](../../out.md)\n"), [1, 3]);
        assert_eq!(broken("README.md", "[one]: docs/a.md\n[two]: docs/z.md\n"), [2]);
    }

    #[test]
    fn urls_anchors_and_code_are_left_alone() {
        let text = "[u](https://x.org/y) [m](mailto:a@b.c) [h](#here) `[c](none.md)`\n\
                    ```text\n[f](none.md)\n```\n";
        assert_eq!(broken("README.md", text), [0; 0]);
        assert_eq!(broken("README.md", "a ` b [x](none.md)\n"), [1]);
    }
}
