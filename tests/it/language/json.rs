//! The fields of a JSON line, read by descent: as much as comes before a fault, in the order of the line.

/// A value and its text.
#[derive(Debug, Clone)]
pub struct Json<'t> {
    pub text: &'t str,
    pub value: Value<'t>,
}

#[derive(Debug, Clone)]
pub enum Value<'t> {
    Null,
    /// A number or a truth value.
    Plain,
    String(String),
    Array(Vec<Json<'t>>),
    Object(Vec<(String, Json<'t>)>),
}

struct Reader<'t> {
    rest: &'t str,
}

/// The fields of the object with which `line` begins, and whether it is whole.
pub fn object(line: &str) -> (Vec<(String, Json<'_>)>, bool) {
    let mut reader = Reader { rest: line };
    let mut fields = Vec::new();
    let whole = reader.take('{').and_then(|()| reader.fields(&mut fields)).is_some();
    (fields, whole)
}

/// The value with which `line` begins, if it is whole.
pub fn value(line: &str) -> Option<Json<'_>> {
    Reader { rest: line }.value()
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        self.next();
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    fn fields(&mut self, fields: &mut Vec<(String, Json<'t>)>) -> Option<()> {
        if self.next() == Some('}') {
            return self.take('}');
        }
        loop {
            let name = self.string()?;
            self.take(':')?;
            fields.push((name, self.value()?));
            if self.next() == Some('}') {
                return self.take('}');
            }
            self.take(',')?;
        }
    }

    fn elements(&mut self) -> Option<Vec<Json<'t>>> {
        let mut all = Vec::new();
        if self.next() == Some(']') {
            return self.take(']').map(|()| all);
        }
        loop {
            all.push(self.value()?);
            if self.next() == Some(']') {
                return self.take(']').map(|()| all);
            }
            self.take(',')?;
        }
    }

    fn value(&mut self) -> Option<Json<'t>> {
        let first = self.next()?;
        let from = self.rest;
        let value = match first {
            '{' => {
                let mut fields = Vec::new();
                self.take('{')?;
                self.fields(&mut fields)?;
                Value::Object(fields)
            }
            '[' => {
                self.take('[')?;
                Value::Array(self.elements()?)
            }
            '"' => Value::String(self.string()?),
            _ => {
                let length = self.rest.find([',', '}', ']', ' ']).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(length);
                let known = matches!(word, "null" | "true" | "false") || word.parse::<f64>().is_ok();
                self.rest = known.then_some(rest)?;
                if word == "null" { Value::Null } else { Value::Plain }
            }
        };
        Some(Json { text: &from[..from.len() - self.rest.len()], value })
    }

    fn string(&mut self) -> Option<String> {
        self.take('"')?;
        let mut escaped = false;
        let end = self.rest.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        let (inside, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        serde_json::from_str(&format!("\"{inside}\"")).ok()
    }
}
