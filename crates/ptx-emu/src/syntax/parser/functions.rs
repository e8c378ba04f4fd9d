//! Heads of functions: names, parameters, launch directives.

use super::{Parsed, Parser};
use crate::syntax::ast::{Directive, Function, Space, Variable};
use crate::syntax::token::Kind;

/// Directives between a function's parameters and its body: the name, the fewest and the most
/// numbers behind it.
const DIRECTIVES: &[(&str, usize, usize)] = &[
    ("maxntid", 1, 3),
    ("reqntid", 1, 3),
    ("minnctapersm", 1, 1),
    ("maxnctapersm", 1, 1),
    ("maxnreg", 1, 1),
    ("noreturn", 0, 0),
    ("reqnctapercluster", 1, 3),
    ("explicitcluster", 0, 0),
    ("maxclusterrank", 1, 1),
    ("blocksareclusters", 0, 0),
];

impl Parser<'_> {
    /// What follows `.entry` or `.func`.
    pub(super) fn function(&mut self, entry: bool) -> Parsed<Function> {
        let returns = if !entry && self.at('(') { self.params(entry)? } else { Vec::new() };
        let name = self.word("the function's name")?;
        let params = if self.at('(') { self.params(entry)? } else { Vec::new() };
        let directives = self.directives()?;
        let body = match self.token().kind {
            Kind::Mark(';') => {
                self.bump();
                None
            }
            Kind::Mark('{') => Some(self.block()?),
            _ => {
                let names: Vec<_> = DIRECTIVES.iter().map(|row| format!(".{}", row.0)).collect();
                return Err(self
                    .unexpected("a directive, a body or `;` behind the function's head")
                    .with_hint(format!("known directives are {}", names.join(", "))));
            }
        };
        Ok(Function {
            entry,
            name: name.text.to_owned(),
            params,
            returns,
            directives,
            body,
            span: name.span,
        })
    }

    /// `(.param .u64 a, .param .align 8 .b8 b[24])`
    fn params(&mut self, entry: bool) -> Parsed<Vec<Variable>> {
        self.bump();
        self.list(')', |parser| parser.param(entry))
    }

    fn param(&mut self, entry: bool) -> Parsed<Variable> {
        let space = match self.dotted() {
            Some("param") => Space::Param,
            Some("reg") if !entry => Space::Reg,
            Some("reg") => {
                return Err(self
                    .error("a kernel has no register parameters")
                    .with_hint("write `.param`; only `.func` may have `.reg` parameters"));
            }
            _ => return Err(self.unexpected("`.param`")),
        };
        self.bump();
        let shape = self.shape(space)?;
        self.skip_pointer_promise(space)?;
        self.declarator(space, shape, false)
    }

    fn directives(&mut self) -> Parsed<Vec<Directive>> {
        let mut directives = Vec::new();
        loop {
            if self.dotted() == Some("pragma") {
                self.skip_pragma()?;
                continue;
            }
            let known = self.dotted().and_then(|name| DIRECTIVES.iter().find(|row| row.0 == name));
            let Some(&(name, fewest, most)) = known else {
                return Ok(directives);
            };
            let span = self.bump().span;
            let mut values = Vec::new();
            while values.len() < fewest || (values.len() < most && self.at(',')) {
                if !values.is_empty() {
                    self.bump();
                }
                values.push(self.number_u32("a whole number")?);
            }
            directives.push(Directive { name: name.to_owned(), values, span });
        }
    }
}
