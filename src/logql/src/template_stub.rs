//! A stand-in for templates until theirs is merged: text, `{{.name}}`, `{{__line__}}` and `{{fail}}`.

#![allow(dead_code, reason = "the templates that are to come ask for more")]

/// What a template may ask for.
pub trait Source {
    /// The value of a label.
    fn get(&self, name: &str) -> Option<&str>;
    /// All labels.
    fn for_each(&self, each: &mut dyn FnMut(&str, &str));
    /// The line.
    fn line(&self) -> &[u8];
    /// When the entry was logged.
    fn timestamp_ns(&self) -> i64;
    /// The time.
    fn now_ns(&self) -> i64;
}

/// A template.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
    fields: Vec<String>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Field(String),
    Line,
    Fail,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            let (inside, behind) = behind.split_once("}}").ok_or("template: unclosed action")?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(match inside.trim() {
                "__line__" => Part::Line,
                "fail" => Part::Fail,
                field => Part::Field(field.strip_prefix('.').ok_or("function not defined")?.to_owned()),
            });
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        let fields = parts.iter().filter_map(|part| match part {
            Part::Field(name) => Some(name.clone()),
            _ => None,
        });
        let fields = fields.collect();
        Ok(Self { parts, fields })
    }

    /// The labels that it reads; none: any.
    pub fn fields(&self) -> Option<&[String]> {
        Some(&self.fields)
    }

    /// Appends the text that it makes.
    pub fn render(&self, source: &dyn Source, out: &mut Vec<u8>) -> Result<(), String> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Field(name) => out.extend_from_slice(source.get(name).unwrap_or("").as_bytes()),
                Part::Line => out.extend_from_slice(source.line()),
                Part::Fail => return Err("failed".to_owned()),
            }
        }
        Ok(())
    }
}
