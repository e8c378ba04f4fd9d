//! The file's head and what stands at module level.

use super::{Parsed, Parser};
use crate::error::PtxError;
use crate::syntax::ast::{File, Item, Space};
use crate::syntax::token::Kind;

/// Words that may follow the architecture in `.target` and change nothing here.
const TARGET_OPTIONS: &[&str] = &["debug", "texmode_unified", "texmode_independent"];

/// Visibility to other modules. Every name is visible here, so only `.extern` matters.
const LINKAGE: &[&str] = &["visible", "extern", "weak", "common"];

/// Directives of PTX that this crate refuses, each with the way out.
const REFUSED: &[(&str, &str)] = &[
    ("alias", "call the function by its own name"),
    ("tex", "textures are not simulated; load from global memory"),
    ("sreg", "special registers need no declaration"),
    ("reg", "registers are declared inside a function's body"),
    ("local", "local variables are declared inside a function's body"),
    ("param", "parameters are declared in a function's list or body"),
    ("version", "a file has one `.version`, on its first line"),
    ("target", "a file has one `.target`, behind `.version`"),
    ("address_size", "`.address_size` stands once, behind `.target`"),
];

impl Parser<'_> {
    /// The whole file.
    pub(super) fn module(mut self) -> Parsed<File> {
        let version = self.version()?;
        let target = self.target()?;
        let address_size = self.address_size()?;
        let mut items = Vec::new();
        while self.token().kind != Kind::End {
            self.item(&mut items)?;
        }
        Ok(File { version, target, address_size, items })
    }

    /// `.version 8.0`
    fn version(&mut self) -> Parsed<(u32, u32)> {
        if !self.take_dotted("version") {
            return Err(self
                .unexpected("`.version`")
                .with_hint("a PTX file begins with `.version 8.0` or the like"));
        }
        let token = self.token();
        let version = token.text.split_once('.').filter(|_| matches!(token.kind, Kind::Decimal(_)));
        let version = version.and_then(|(major, minor)| major.parse().ok().zip(minor.parse().ok()));
        let Some(version) = version else {
            return Err(self.unexpected("a version such as `8.0`"));
        };
        self.bump();
        Ok(version)
    }

    /// `.target sm_90a, debug`
    fn target(&mut self) -> Parsed<String> {
        if !self.take_dotted("target") {
            return Err(self
                .unexpected("`.target`")
                .with_hint("behind `.version` stands `.target sm_80` or the like"));
        }
        let target = self.word("an architecture such as `sm_80`")?;
        while self.take(',') {
            let option = self.word("an option of `.target`")?.text;
            if !TARGET_OPTIONS.contains(&option) {
                self.next -= 1;
                return Err(self
                    .error(format!("`.target` has no option `{option}`"))
                    .with_hint(format!("known are {}", TARGET_OPTIONS.join(", "))));
            }
        }
        Ok(target.text.to_owned())
    }

    /// `.address_size 64`
    fn address_size(&mut self) -> Parsed<u32> {
        if !self.take_dotted("address_size") {
            return Ok(64);
        }
        match self.token().kind {
            Kind::Integer(bits @ (32 | 64)) => {
                self.bump();
                Ok(bits as u32)
            }
            _ => Err(self.unexpected("32 or 64")),
        }
    }

    /// One thing at module level, which may declare several variables or nothing.
    fn item(&mut self, items: &mut Vec<Item>) -> Parsed<()> {
        match self.dotted() {
            Some("file") => return self.skip_file(),
            Some("section") => return self.skip_section(),
            Some("pragma") => return self.skip_pragma(),
            _ => {}
        }
        let linkage = self.dotted().filter(|name| LINKAGE.contains(name));
        self.next += usize::from(linkage.is_some());
        let external = linkage == Some("extern");
        let space = match self.dotted() {
            Some("entry") => return self.function_item(true, items),
            Some("func") => return self.function_item(false, items),
            Some("global") => Space::Global,
            Some("const") => Space::Const,
            Some("shared") => Space::Shared,
            _ => return Err(self.no_item()),
        };
        self.bump();
        let variables = self.variables(space, external)?;
        items.extend(variables.into_iter().map(Item::Variable));
        Ok(())
    }

    fn function_item(&mut self, entry: bool, items: &mut Vec<Item>) -> Parsed<()> {
        self.bump();
        items.push(Item::Function(self.function(entry)?));
        Ok(())
    }

    fn no_item(&self) -> PtxError {
        let refused = self.dotted().and_then(|name| REFUSED.iter().find(|row| row.0 == name));
        if let Some((name, hint)) = refused {
            return self.error(format!("`.{name}` may not stand here")).with_hint(*hint);
        }
        let error = self.unexpected("a function or a variable");
        match self.token().kind {
            Kind::Mark('}') => error.with_hint("a `}` too many further up"),
            Kind::Word => error.with_hint("instructions stand in a function's `{ }`"),
            _ => error.with_hint("module level holds .entry, .func, .global, .const and .shared"),
        }
    }
}
