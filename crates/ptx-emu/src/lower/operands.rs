//! Operands become planes; what an instruction reads and writes is noted on the way.

use super::Lower;
use super::scope::{Symbol, planes_of};
use crate::error::PtxError;
use crate::machine::registers::{LANES, Plane, Predicate, Registers};
use crate::program::Special;
use crate::syntax::ast::{Operand, Space, Type};

/// An address operand: a base a lane, and bytes added to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    base: Plane,
    /// Whether the base takes two planes.
    wide: bool,
    offset: i64,
}

impl Address {
    /// The address of each lane.
    #[inline(always)]
    pub(crate) fn read(&self, registers: &Registers) -> [u64; LANES] {
        let mut out = if self.wide {
            registers.read::<u64>(self.base)
        } else {
            let narrow = registers.plane(self.base);
            let mut out = [0; LANES];
            for lane in 0..LANES {
                out[lane] = u64::from(narrow[lane]);
            }
            out
        };
        for value in &mut out {
            *value = value.wrapping_add_signed(self.offset);
        }
        out
    }
}

impl Lower<'_> {
    /// A destination of exactly this type's width. `_` is a plane that nobody reads.
    pub(crate) fn dst(&mut self, operand: &Operand, ty: Type) -> Result<Plane, PtxError> {
        let (plane, register) = self.dst_wide(operand, ty)?;
        if planes_width(register) != planes_width(ty) {
            return Err(self.width(operand, register, ty));
        }
        Ok(plane)
    }

    /// A destination of this type's width or more, and its own type: `ld` and `cvt` allow it.
    pub(crate) fn dst_wide(
        &mut self,
        operand: &Operand,
        ty: Type,
    ) -> Result<(Plane, Type), PtxError> {
        let (plane, register) = match operand {
            Operand::Sink => (self.new_planes("_", planes_of(ty)), ty),
            Operand::Name(name) => match self.lookup(name) {
                Some(Symbol::Register { plane, ty }) => (*plane, *ty),
                _ => return Err(self.fail(format!("`{name}` is not a register"))),
            },
            _ => return Err(self.fail("the destination is not a register")),
        };
        if register.bytes() < ty.bytes() && register.bytes() < 4.min(ty.bytes().max(2)) {
            return Err(self.width(operand, register, ty));
        }
        if planes_of(register) < planes_of(ty) {
            return Err(self.width(operand, register, ty));
        }
        for plane in plane..plane + planes_of(register) as Plane {
            self.writes.push(plane);
        }
        Ok((plane, register))
    }

    /// A register of exactly this type's size, for instructions that account for its use themselves.
    pub(crate) fn register(&self, operand: &Operand, ty: Type) -> Result<Plane, PtxError> {
        match operand {
            Operand::Name(name) => match self.lookup(name) {
                Some(Symbol::Register { plane, ty: own }) if own.bytes() == ty.bytes() => {
                    Ok(*plane)
                }
                Some(Symbol::Register { ty: own, .. }) => Err(self.width(operand, *own, ty)),
                _ => Err(self.fail(format!("`{name}` is not a register"))),
            },
            _ => Err(self.fail("expected a register")),
        }
    }

    /// A source of exactly this type's width: a register, a number, or the address of a variable.
    pub(crate) fn src(&mut self, operand: &Operand, ty: Type) -> Result<Plane, PtxError> {
        let (plane, register) = self.src_wide(operand, ty)?;
        if planes_width(register) != planes_width(ty) {
            return Err(self.width(operand, register, ty));
        }
        Ok(plane)
    }

    /// A source of this type's width or more, and its own type: `st` and `cvt` allow it.
    pub(crate) fn src_wide(
        &mut self,
        operand: &Operand,
        ty: Type,
    ) -> Result<(Plane, Type), PtxError> {
        let wide = planes_of(ty) == 2;
        let (plane, own) = match operand {
            Operand::Integer(_)
                if matches!(ty, Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2) =>
            {
                return Err(self.fail(format!("a constant, expected a register of {ty}")));
            }
            Operand::Integer(value) => {
                let bits = match ty {
                    Type::F32 => u64::from((*value as f32).to_bits()),
                    Type::F64 => (*value as f64).to_bits(),
                    // Narrow constants lie zero-extended in their plane.
                    _ if ty.bytes() < 4 => *value as u64 & ((1 << (8 * ty.bytes().max(1))) - 1),
                    _ => *value as u64,
                };
                (self.constant(bits, wide), ty)
            }
            Operand::F32(bits) => match ty {
                Type::F64 => (self.constant64(f64::from(f32::from_bits(*bits)).to_bits()), ty),
                Type::F32 | Type::B32 => (self.constant32(*bits), ty),
                _ => return Err(self.fail(format!("a floating-point constant, expected {ty}"))),
            },
            Operand::F64(bits) => match ty {
                Type::F32 => {
                    let bits = (f64::from_bits(*bits) as f32).to_bits();
                    (self.constant32(bits), ty)
                }
                Type::F64 | Type::B64 => (self.constant64(*bits), ty),
                _ => return Err(self.fail(format!("a floating-point constant, expected {ty}"))),
            },
            Operand::Sum(name, offset) => (self.address_of(name, *offset, wide)?, ty),
            Operand::Name(name) => match self.lookup(name) {
                Some(Symbol::Register { plane, ty: register }) => {
                    let (plane, register) = (*plane, *register);
                    for plane in plane..plane + planes_of(register) as Plane {
                        self.reads.push(plane);
                    }
                    (plane, register)
                }
                Some(_) => (self.address_of(name, 0, wide)?, ty),
                None => match special(name) {
                    Some(_) if wide => return Err(self.fail(format!("{name} has 32 bits"))),
                    Some(special) => (self.special(special), ty),
                    None => return Err(self.fail(format!("`{name}` is not declared"))),
                },
            },
            _ => return Err(self.fail("expected a register or a number")),
        };
        if planes_of(own) < planes_of(ty) {
            return Err(self.width(operand, own, ty));
        }
        Ok((plane, own))
    }

    /// A predicate as a destination.
    pub(crate) fn dst_predicate(&mut self, operand: &Operand) -> Result<Predicate, PtxError> {
        let predicate = match operand {
            Operand::Sink => self.new_predicate("_"),
            Operand::Name(name) => self.predicate_named(name)?,
            _ => return Err(self.fail("expected a predicate register")),
        };
        self.write_predicates.push(predicate);
        Ok(predicate)
    }

    /// A predicate as a source, and whether it is negated.
    pub(crate) fn src_predicate(
        &mut self,
        operand: &Operand,
    ) -> Result<(Predicate, bool), PtxError> {
        let (name, negated) = match operand {
            Operand::Name(name) => (name, false),
            Operand::Not(inner) => match &**inner {
                Operand::Name(name) => (name, true),
                _ => return Err(self.fail("expected a predicate register")),
            },
            _ => return Err(self.fail("expected a predicate register")),
        };
        let predicate = self.predicate_named(name)?;
        self.read_predicates.push(predicate);
        Ok((predicate, negated))
    }

    pub(crate) fn predicate_named(&self, name: &str) -> Result<Predicate, PtxError> {
        match self.lookup(name) {
            Some(Symbol::Predicate(predicate)) => Ok(*predicate),
            _ => Err(self.fail(format!("`{name}` is not a predicate register"))),
        }
    }

    /// The operands of `{a, b}`; any other operand is a list of itself.
    pub(crate) fn list<'o>(&self, operand: &'o Operand) -> &'o [Operand] {
        match operand {
            Operand::Vector(list) => list,
            one => std::slice::from_ref(one),
        }
    }

    /// As [`Lower::list`], of exactly `count` operands.
    pub(crate) fn list_of<'o>(
        &self,
        operand: &'o Operand,
        count: usize,
    ) -> Result<&'o [Operand], PtxError> {
        let list = self.list(operand);
        match list.len() == count {
            true => Ok(list),
            false => Err(self.fail(format!("{} registers, expected {count}", list.len()))),
        }
    }

    /// An address operand in `space`, and the space it really lies in: a `.param` of a call is local.
    pub(crate) fn address(
        &mut self,
        operand: &Operand,
        space: Space,
    ) -> Result<(Space, Address), PtxError> {
        let Operand::Address { base, offset, more } = operand else {
            return Err(self.fail("expected an address in brackets"));
        };
        if !more.is_empty() {
            return Err(self.fail("expected an address without coordinates"));
        }
        self.address_parts(base, *offset, space)
    }

    /// The base and offset of an address operand; see [`Lower::address`].
    pub(crate) fn address_parts(
        &mut self,
        base: &Operand,
        offset: i64,
        space: Space,
    ) -> Result<(Space, Address), PtxError> {
        match base {
            Operand::Integer(value) => {
                let base = self.constant64(*value as u64);
                Ok((space, Address { base, wide: true, offset }))
            }
            Operand::Name(name) => match self.lookup(name).cloned() {
                Some(Symbol::Register { plane, ty }) => {
                    let wide = planes_of(ty) == 2;
                    for plane in plane..plane + planes_of(ty) as Plane {
                        self.reads.push(plane);
                    }
                    Ok((space, Address { base: plane, wide, offset }))
                }
                Some(symbol) => {
                    let own = match symbol {
                        Symbol::Local { .. } => Space::Local,
                        Symbol::Param { .. } => Space::Param,
                        Symbol::Shared { .. } | Symbol::ModuleShared(_) => Space::Shared,
                        Symbol::Module { space } => space,
                        _ => return Err(self.fail(format!("`{name}` has no address"))),
                    };
                    let as_param = space == Space::Param && own == Space::Local;
                    if space != own && space != Space::Generic && !as_param {
                        return Err(
                            self.fail(format!("`{name}` is not in the space of the access"))
                        );
                    }
                    let base = self.address_of(name, offset, true)?;
                    Ok((own, Address { base, wide: true, offset: 0 }))
                }
                None => Err(self.fail(format!("`{name}` is not declared"))),
            },
            _ => Err(self.fail("expected a register or a variable as the base of an address")),
        }
    }

    /// The label that a branch names.
    pub(crate) fn label(&self, operand: &Operand) -> Result<usize, PtxError> {
        match operand {
            Operand::Name(name) => self.label_named(name),
            _ => Err(self.fail("expected a label")),
        }
    }

    pub(crate) fn label_named(&self, name: &str) -> Result<usize, PtxError> {
        match self.lookup(name) {
            Some(Symbol::Label(label)) => Ok(*label),
            _ => Err(self.fail(format!("no label `{name}` in reach"))),
        }
    }

    /// The labels of the list that `brx.idx` names.
    pub(crate) fn branch_targets(&self, operand: &Operand) -> Result<Vec<usize>, PtxError> {
        let Operand::Name(name) = operand else { return Err(self.fail("expected a list's name")) };
        match self.lookup(name) {
            Some(Symbol::Targets(labels)) => {
                labels.iter().map(|label| self.label_named(label)).collect()
            }
            _ => Err(self.fail(format!("no .branchtargets `{name}` in reach"))),
        }
    }

    /// The declared type of a register operand.
    pub(crate) fn type_of(&self, operand: &Operand) -> Option<Type> {
        match operand {
            Operand::Name(name) => match self.lookup(name)? {
                Symbol::Register { ty, .. } => Some(*ty),
                Symbol::Predicate(_) => Some(Type::Pred),
                _ => None,
            },
            _ => None,
        }
    }

    /// An integer that must be known now.
    pub(crate) fn immediate(&self, operand: &Operand) -> Result<i128, PtxError> {
        match operand {
            Operand::Integer(value) => Ok(*value),
            _ => Err(self.fail("expected an integer constant")),
        }
    }

    fn constant(&mut self, bits: u64, wide: bool) -> Plane {
        if wide { self.constant64(bits) } else { self.constant32(bits as u32) }
    }

    /// The address of a variable in its own space, as `mov` gives it.
    fn address_of(&mut self, name: &str, offset: i64, wide: bool) -> Result<Plane, PtxError> {
        let at = match self.lookup(name).cloned() {
            Some(
                Symbol::Shared { offset: at }
                | Symbol::Local { offset: at }
                | Symbol::Param { offset: at },
            ) => at,
            Some(Symbol::ModuleShared(variable)) => {
                return Ok(self.module_shared(&variable, offset));
            }
            Some(Symbol::Module { .. }) if wide => return Ok(self.module_address(name, offset)),
            _ => return Err(self.fail(format!("`{name}` has no address of this width"))),
        };
        Ok(self.constant(at.wrapping_add_signed(offset), wide))
    }

    fn width(&self, operand: &Operand, register: Type, expected: Type) -> PtxError {
        let name = match operand {
            Operand::Name(name) => name.as_str(),
            _ => "the operand",
        };
        self.fail(format!(
            "{name} is {register}, expected {} bits for {expected}",
            8 * expected.bytes().max(1)
        ))
    }
}

/// Width by which registers are matched: 8-bit types live in registers of 16.
fn planes_width(ty: Type) -> u32 {
    ty.bytes().max(2)
}

fn special(name: &str) -> Option<Special> {
    let axis = |part: &str| match part {
        "x" => Some(0),
        "y" => Some(1),
        "z" => Some(2),
        _ => None,
    };
    if let Some((register, part)) = name.split_once('.') {
        let axis = axis(part)?;
        return Some(match register {
            "%tid" => Special::Tid(axis),
            "%ntid" => Special::Ntid(axis),
            "%ctaid" => Special::Ctaid(axis),
            "%nctaid" => Special::Nctaid(axis),
            "%clusterid" => Special::Clusterid(axis),
            "%nclusterid" => Special::Nclusterid(axis),
            "%cluster_ctaid" => Special::ClusterCtaid(axis),
            "%cluster_nctaid" => Special::ClusterNctaid(axis),
            _ => return None,
        });
    }
    Some(match name {
        "%laneid" => Special::Laneid,
        "%warpid" => Special::Warpid,
        "%nwarpid" => Special::Nwarpid,
        "%smid" => Special::Smid,
        "%nsmid" => Special::Nsmid,
        "%gridid" => Special::Gridid,
        "%lanemask_eq" => Special::LanemaskEq,
        "%lanemask_le" => Special::LanemaskLe,
        "%lanemask_lt" => Special::LanemaskLt,
        "%lanemask_ge" => Special::LanemaskGe,
        "%lanemask_gt" => Special::LanemaskGt,
        "%dynamic_smem_size" => Special::DynamicSharedSize,
        "%total_smem_size" => Special::TotalSharedSize,
        "%cluster_ctarank" => Special::ClusterCtarank,
        "%cluster_nctarank" => Special::ClusterNctarank,
        "%is_explicit_cluster" => Special::IsExplicitCluster,
        _ => return None,
    })
}
