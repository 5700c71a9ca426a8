//! How are lists of texts written: origins of web pages, names of hosts?

/// Lists of texts of any kind.
pub mod texts {
    use super::super::codec;
    use super::super::tree::{Fault, Node, Value};

    /// Reads a list of texts that `check` takes; the error of `check` says what is wrong with one.
    pub fn parse(node: &Node, check: fn(&str) -> Result<(), String>) -> Result<Vec<String>, Fault> {
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Null => &[],
            _ => return Err(Fault::new(node.at, format!("takes a list, not {}", node.kind()))),
        };
        let item = |node: &Node| {
            let text = codec::text(node)?.trim();
            check(text).map(|()| text.to_owned()).map_err(|why| Fault::new(node.at, why))
        };
        items.iter().map(item).collect()
    }

    /// Writes a list; JSON's strings are YAML's double-quoted ones.
    pub fn show(texts: &[String]) -> String {
        serde_json::Value::from(texts).to_string()
    }
}

/// Origins of web pages.
pub mod origins {
    use super::super::tree::{Fault, Node};

    /// Reads a list of `scheme://host[:port]`, as browsers write them in `Origin`; `*` is all of them.
    pub fn parse(node: &Node) -> Result<Vec<String>, Fault> {
        super::texts::parse(node, |text| match text.split_once("://") {
            _ if text == "*" => Ok(()),
            Some(("http" | "https", host)) if super::is_host(host) => Ok(()),
            _ => Err(format!(
                "\"{text}\" is not an origin; write https://host or https://host:port, without a path"
            )),
        })
    }
}

/// Names of hosts.
pub mod hosts {
    use super::super::tree::{Fault, Node};

    /// Reads a list of names without ports; `*` is every name.
    pub fn parse(node: &Node) -> Result<Vec<String>, Fault> {
        super::texts::parse(node, |text| match text {
            "*" => Ok(()),
            _ if super::is_host(text) && !text.contains(':') => Ok(()),
            _ => Err(format!("\"{text}\" is not the name of a host; write it without scheme, port and path")),
        })
    }
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']'))
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    #[test]
    fn origins_and_hosts_as_browsers_write_them() {
        let read = |text: &str| {
            let node = tree::parse(text).unwrap();
            let told = |parsed: Result<Vec<String>, _>| parsed.map(|all| texts::show(&all)).ok();
            (told(origins::parse(&node)), told(hosts::parse(&node)))
        };
        let both = |text: &str| (Some(text.to_owned()), Some(text.to_owned()));
        assert_eq!(read("[]"), both("[]"));
        assert_eq!(read("[\"*\"]"), both("[\"*\"]"));
        let origins = "[\"https://a.b\",\"http://c:3000\"]";
        assert_eq!(read("[\"https://a.b\", \"http://c:3000\"]"), (Some(origins.to_owned()), None));
        assert_eq!(read("[a.b, c]"), (None, Some("[\"a.b\",\"c\"]".to_owned())));
        for wrong in
            ["[\"https://a/b\"]", "[\"https://\"]", "[\"a:80\"]", "[\"ftp://a\"]", "a", "[\"a b\"]", "[\"\"]"]
        {
            assert_eq!(read(wrong), (None, None), "{wrong}");
        }
    }
}
