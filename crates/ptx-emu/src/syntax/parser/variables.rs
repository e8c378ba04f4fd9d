//! Declarations of variables and registers.

use super::{Parsed, Parser};
use crate::error::PtxError;
use crate::syntax::ast::{Init, Operand, Space, Span, Statement, Type, Variable};
use crate::syntax::token::Kind;

/// What stands between the state space and the name: alignment, vector length, type.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    align: Option<u32>,
    vector: u32,
    ty: Type,
}

impl Parser<'_> {
    /// What follows `.shared` and its like: a shape, then names up to `;`.
    pub(super) fn variables(&mut self, space: Space, external: bool) -> Parsed<Vec<Variable>> {
        let shape = self.shape(space)?;
        let mut variables = vec![self.declarator(space, shape, external)?];
        while self.take(',') {
            variables.push(self.declarator(space, shape, external)?);
        }
        self.expect(';', "after the declaration")?;
        Ok(variables)
    }

    /// `.align 16 .v4 .f32`
    pub(super) fn shape(&mut self, space: Space) -> Parsed<Shape> {
        let aligned = space != Space::Reg && self.take_dotted("align");
        let align = if aligned { Some(self.alignment()?) } else { None };
        let vector = match self.dotted() {
            Some("v2") => 2,
            Some("v4") => 4,
            _ => 1,
        };
        self.next += usize::from(vector != 1);
        let Some(name) = self.dotted() else {
            return Err(self.unexpected("a type such as `.f32`"));
        };
        let ty = match Type::named(name) {
            Some(Type::Pred) if space != Space::Reg => {
                return Err(self
                    .error("a predicate has no place in memory")
                    .with_hint("declare it as `.reg .pred`"));
            }
            Some(ty) => ty,
            None => return Err(self.no_type(name)),
        };
        self.bump();
        Ok(Shape { align, vector, ty })
    }

    fn no_type(&self, name: &str) -> PtxError {
        let error = self.error(format!("`.{name}` is not a type that may be declared"));
        match name {
            "align" => {
                error.with_hint("`.align` stands before `.v2`, `.v4` and the type of memory")
            }
            "attribute" => error.with_hint("`.managed` and `.unified` memory is not simulated"),
            "texref" | "surfref" | "samplerref" => {
                error.with_hint("textures and surfaces are not simulated")
            }
            _ => error.with_hint(
                "types are .b8 to .b128, .u8 to .u64, .s8 to .s64, .f16, .f16x2, .bf16, .bf16x2, \
                 .tf32, .f32, .f64 and .pred",
            ),
        }
    }

    /// The number behind `.align`.
    pub(super) fn alignment(&mut self) -> Parsed<u32> {
        match self.token().kind {
            Kind::Integer(bytes) if bytes.is_power_of_two() && bytes <= 1 << 20 => {
                self.bump();
                Ok(bytes as u32)
            }
            _ => Err(self.unexpected("an alignment that is a power of two")),
        }
    }

    /// `name[4][8] = { ... }`
    pub(super) fn declarator(
        &mut self,
        space: Space,
        shape: Shape,
        external: bool,
    ) -> Parsed<Variable> {
        let Shape { align, vector, ty } = shape;
        let name = self.word("the variable's name")?;
        if self.at('<') {
            return Err(self
                .error("only registers are declared by the number")
                .with_hint("declare an array, as in `name[10]`"));
        }
        let mut extents = Vec::new();
        while self.take('[') {
            if self.take(']') {
                extents.push(None);
                continue;
            }
            extents.push(Some(self.number("an array's extent", u64::MAX)?));
            self.expect(']', "after the extent")?;
        }
        if self.at('=') && (external || !matches!(space, Space::Global | Space::Const)) {
            return Err(self
                .error(format!("`{}` may not have an initial value", name.text))
                .with_hint("only .global and .const variables that are not .extern may"));
        }
        let init = if self.take('=') { Some(self.init()?) } else { None };
        let (name, span) = (name.text.to_owned(), name.span);
        Ok(Variable { space, align, ty, vector, name, extents, init, external, span })
    }

    fn init(&mut self) -> Parsed<Init> {
        match self.token().kind {
            Kind::Mark('{') => {
                self.bump();
                self.nested(|parser| parser.list('}', Self::init)).map(Init::List)
            }
            Kind::Word => {
                let word = self.bump();
                let generic = word.text == "generic" && self.take('(');
                let name = if generic { self.word("a variable's name")? } else { word };
                if generic {
                    self.expect(')', "after the variable's name")?;
                }
                let offset = self.offset("the name of a variable")?.unwrap_or(0);
                Ok(Init::Address { name: name.text.to_owned(), offset, generic })
            }
            _ => {
                let value = self.constant()?;
                if self.at('(') && matches!(value, Operand::Integer(_)) {
                    return Err(self
                        .error("a mask on an address, as in `0xFF(name)`, is not supported")
                        .with_hint("store the whole address in a .u64"));
                }
                Ok(Init::Value(value))
            }
        }
    }

    /// What follows `.reg`.
    pub(super) fn registers(&mut self, span: Span) -> Parsed<Statement> {
        let shape = self.shape(Space::Reg)?;
        let mut names = Vec::new();
        loop {
            let name = self.word("a register's name")?.text.to_owned();
            let count = if self.take('<') {
                let count = self.number_u32("the number of registers")?;
                self.expect('>', "after the number of registers")?;
                Some(count)
            } else {
                None
            };
            names.push((name, count));
            if !self.take(',') {
                break;
            }
        }
        self.expect(';', "after the declaration")?;
        Ok(Statement::Registers { ty: shape.ty, vector: shape.vector, names, span })
    }
}
