package workload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	nodes "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// part is one document of a file.
type part struct {
	json jsontext.Value // what it says
	node *nodes.Node    // where it says it; nil when that is not known
	line int            // where it begins in the file
}

// parts splits a file into its documents, and yields those that are not empty. After an error there is no more.
func parts(raw []byte) iter.Seq2[part, error] {
	return func(yield func(part, error) bool) {
		switch trimmed := bytes.TrimLeft(raw, " \t\r\n"); {
		case !utf8.Valid(raw) || bytes.IndexByte(raw, 0) >= 0:
			yield(part{line: 1}, errors.New("it is not UTF-8 text"))
		case bytes.HasPrefix(trimmed, []byte("{")):
			jsonParts(raw, yield)
		default:
			yamlParts(raw, yield)
		}
	}
}

// jsonParts reads JSON values one after the other, as kubectl does. A name given twice is an error.
func jsonParts(raw []byte, yield func(part, error) bool) {
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	line, counted := 1, int64(0)
	for {
		from := d.InputOffset()
		v, err := d.ReadValue()
		if errors.Is(err, io.EOF) {
			return
		}
		from += int64(len(raw[from:]) - len(bytes.TrimLeft(raw[from:], " \t\r\n")))
		line, counted = line+bytes.Count(raw[counted:from], []byte("\n")), from
		p := part{line: line}
		if err == nil {
			err = shallow(v)
		}
		if err != nil {
			yield(p, oneLine(err))
			return
		}
		if p.node, err = positions(v); err != nil {
			p.node = nil // JSON that YAML's reader does not follow has no lines, and is JSON still
		}
		shift(p.node, line-1)
		p.json = bytes.Clone(v)
		if !yield(p, nil) {
			return
		}
	}
}

// yamlParts splits at lines of three dashes, as kubectl does.
func yamlParts(raw []byte, yield func(part, error) bool) {
	var doc []byte
	start, n := 1, 0
	flush := func() bool {
		if blank(doc) {
			return true
		}
		p, err := yamlPart(doc)
		p.line += start - 1
		shift(p.node, start-1)
		return p.json == nil && err == nil || yield(p, err) && err == nil
	}
	for line := range bytes.Lines(raw) {
		n++
		rest, separates := bytes.CutPrefix(line, []byte("---"))
		if !separates {
			doc = append(doc, line...)
			continue
		}
		if rest = bytes.TrimSpace(rest); len(rest) > 0 && rest[0] != '#' {
			yield(part{line: n}, errors.New("the line of three dashes holds something else"))
			return
		}
		if !flush() {
			return
		}
		doc, start = doc[:0], n+1
	}
	flush()
}

// blank reports whether a document holds nothing but comments.
func blank(doc []byte) bool {
	for line := range bytes.Lines(doc) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// yamlPart reads one document: what it says as kubectl's reader understands it, where it says it by another that knows lines.
func yamlPart(doc []byte) (part, error) {
	node, err := positions(doc)
	p := part{node: node, line: 1}
	if node == nil && err == nil {
		return p, nil
	}
	if err != nil {
		return p, oneLine(err)
	}
	p.line = node.Line
	if unfolded(node, map[*nodes.Node]int{}) > MaxSize { // before it takes the memory
		return p, fmt.Errorf("its anchors unfold to more than %d bytes", MaxSize)
	}
	out, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return p, oneLine(err)
	}
	if string(out) == "null" {
		return part{line: 1}, nil
	}
	p.json = out
	return p, shallow(out)
}

// unfolded is about how many bytes a document has when every alias is what it stands for; more than MaxSize is MaxSize and one. known are
// the anchors counted so far: one that contains itself has no end.
func unfolded(n *nodes.Node, known map[*nodes.Node]int) int {
	n = target(n)
	if size, ok := known[n]; ok {
		return size
	}
	if n.Anchor != "" {
		known[n] = MaxSize + 1
	}
	size := len(n.Value) + len(`"",`)
	for _, c := range n.Content {
		size = min(size+unfolded(c, known), MaxSize+1)
	}
	if n.Anchor != "" {
		known[n] = size
	}
	return size
}

// positions reads the lines of a document; nil when it is empty. A second document behind the first is one that kubectl
// would not see and others would.
func positions(doc []byte) (*nodes.Node, error) {
	d := nodes.NewDecoder(bytes.NewReader(doc))
	var n nodes.Node
	if err := d.Decode(&n); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := d.Decode(new(nodes.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("a second document follows without a line of three dashes")
	}
	if n.Kind == nodes.DocumentNode && len(n.Content) == 1 {
		return n.Content[0], nil
	}
	return &n, nil
}

// shift moves lines counted from the beginning of a document to those of its file.
func shift(n *nodes.Node, by int) {
	if n == nil || by == 0 {
		return
	}
	n.Line += by
	for _, c := range n.Content {
		shift(c, by)
	}
}

// shallow refuses a document that is nested deeper than anything of Kubernetes.
func shallow(v jsontext.Value) error {
	d := jsontext.NewDecoder(bytes.NewReader(v))
	for {
		if _, err := d.ReadToken(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if d.StackDepth() > maxDepth {
			return fmt.Errorf("it is nested more than %d deep", maxDepth)
		}
	}
}

// at follows members and elements of a document to where they are; nil when that is not known.
func at(n *nodes.Node, steps ...any) *nodes.Node {
	for _, step := range steps {
		if n = target(n); n == nil {
			return nil
		}
		switch key := step.(type) {
		case int:
			if n.Kind != nodes.SequenceNode || key >= len(n.Content) {
				return nil
			}
			n = n.Content[key]
		case string:
			n = member(n, key)
		}
	}
	return target(n)
}

// target is what an alias stands for.
func target(n *nodes.Node) *nodes.Node {
	if n != nil && n.Kind == nodes.AliasNode {
		return n.Alias
	}
	return n
}

func member(n *nodes.Node, key string) *nodes.Node {
	if n.Kind != nodes.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
