//! Rows of parquet files, one at a time.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::Value;

use crate::import::folder::parts;

/// Rows decoded at once: sound makes them large.
const BATCH: usize = 8;

/// A row of a file; prints as `train.parquet: row 7`, counted from 0 as readers of tables do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) row: usize,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: row {}", self.path.display(), self.row)
    }
}

/// Cells of a row by column, in the order of the file.
#[derive(Debug)]
pub(super) struct Cells(Vec<(String, Field)>);

impl Cells {
    /// Takes a column out.
    pub(super) fn take(&mut self, name: &str) -> Option<Field> {
        let at = self.0.iter().position(|(column, _)| column == name)?;
        Some(self.0.remove(at).1)
    }

    /// A column as text, scalars as they are written.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let (_, field) = self.0.iter().find(|(column, _)| column == name)?;
        match scalar(field)? {
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    /// A column of numbers.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        let (_, field) = self.0.iter().find(|(column, _)| column == name)?;
        scalar(field)?.as_f64()
    }

    /// The columns that hold one value, with it.
    pub(super) fn scalars(&self) -> impl Iterator<Item = (&str, Value)> {
        self.0.iter().filter_map(|(name, field)| Some((name.as_str(), scalar(field)?)))
    }
}

/// A value that JSON has; none for null, bytes, lists and structs.
fn scalar(field: &Field) -> Option<Value> {
    Some(match field {
        Field::Bool(x) => Value::from(*x),
        Field::Byte(x) => Value::from(*x),
        Field::Short(x) => Value::from(*x),
        Field::Int(x) => Value::from(*x),
        Field::Long(x) => Value::from(*x),
        Field::UByte(x) => Value::from(*x),
        Field::UShort(x) => Value::from(*x),
        Field::UInt(x) => Value::from(*x),
        Field::ULong(x) => Value::from(*x),
        // By its decimal digits: 0.1 stays 0.1. Infinities and NaN have no JSON.
        Field::Float(x) => {
            Value::Number(serde_json::Number::from_f64(x.to_string().parse().ok()?)?)
        }
        Field::Double(x) => Value::Number(serde_json::Number::from_f64(*x)?),
        Field::Str(x) => Value::from(x.as_str()),
        Field::TimestampMillis(_)
        | Field::TimestampMicros(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::Float16(_)
        | Field::Decimal(_) => Value::from(field.to_string()),
        Field::Null
        | Field::Bytes(_)
        | Field::Group(_)
        | Field::ListInternal(_)
        | Field::MapInternal(_) => return None,
    })
}

/// A parquet file.
pub(super) struct Table {
    pub(super) path: PathBuf,
    reader: SerializedFileReader<File>,
}

impl Table {
    /// Opens a file and reads its footer.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("{}: cannot read", path.display()))?;
        let reader = SerializedFileReader::new(file).map_err(|error| {
            anyhow::anyhow!(
                "{}: not a whole parquet file, {} (hint: is the download complete)",
                path.display(),
                message(&error)
            )
        })?;
        Ok(Self { path: path.to_path_buf(), reader })
    }

    /// Names of the columns.
    pub(super) fn columns(&self) -> Vec<&str> {
        let schema = self.reader.metadata().file_metadata().schema();
        schema.get_fields().iter().map(|field| field.name()).collect()
    }

    /// Rows, or of each only the columns of `only`, in the order of the file.
    pub(super) fn rows(
        &self,
        only: Option<&[&str]>,
    ) -> anyhow::Result<impl Iterator<Item = anyhow::Result<(Place<'_>, Cells)>>> {
        let projection = only.map(|names| self.projection(names)).transpose()?;
        let rows = RowIter::from_file(projection, &self.reader)
            .map_err(|error| anyhow::anyhow!("{}: {}", self.path.display(), message(&error)))?
            .with_batch_size(BATCH);
        Ok(rows.enumerate().map(|(row, cells): (usize, Result<Row, ParquetError>)| {
            let place = Place { path: &self.path, row };
            match cells {
                Ok(cells) => Ok((place, Cells(cells.into_columns()))),
                Err(error) => Err(anyhow::anyhow!(
                    "{place}: {} (hint: is the file whole, and compressed by snappy, gzip or not at \
                     all)",
                    message(&error)
                )),
            }
        }))
    }

    fn projection(&self, names: &[&str]) -> anyhow::Result<Type> {
        let schema = self.reader.metadata().file_metadata().schema();
        let fields = schema.get_fields().iter().filter(|field| names.contains(&field.name()));
        let fields: Vec<_> = fields.map(Arc::clone).collect();
        ensure!(
            fields.len() == names.len(),
            "{}: columns are [{}], expected [{}] among them",
            self.path.display(),
            self.columns().join(", "),
            names.join(", ")
        );
        Type::group_type_builder(schema.name())
            .with_fields(fields)
            .build()
            .map_err(|error| anyhow::anyhow!("{}: {}", self.path.display(), message(&error)))
    }
}

/// What went wrong, without the library's label before it.
fn message(error: &ParquetError) -> String {
    match error {
        ParquetError::General(text) | ParquetError::NYI(text) | ParquetError::EOF(text) => {
            text.clone()
        }
        other => other.to_string(),
    }
}

/// The parquet files of a folder by name, or the file itself.
pub(super) fn tables(source: &Path) -> anyhow::Result<Vec<Table>> {
    parts(source, &[".parquet"])?.iter().map(|path| Table::open(path)).collect()
}
