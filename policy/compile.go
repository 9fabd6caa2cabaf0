package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/sealyard/sealyard/internal/hint"
)

// Names of the entry package and its rules.
const (
	entryPackage = "sealyard"
	ruleAllow    = "allow"
	ruleDeny     = "deny"
	ruleWarn     = "warn"
	ruleSkip     = "skip"
	ruleLevels   = "levels"
)

// source is a bundle about to be compiled.
type source struct {
	files    files
	prefix   string // shown before file names, so that an error can be clicked
	manifest manifest
	data     map[string]any
	settings *schema
}

// compiled is what a bundle's rules became.
type compiled struct {
	rules    map[string]Rule
	query    rego.PreparedEvalQuery // its result has one member per entry rule
	compiler *ast.Compiler
	store    storage.Store
	again    string // what is asked again when exceptions took denials away: an object of allow and levels

	aboutSources bool                   // there is package sealyard.source
	aboutSource  rego.PreparedEvalQuery // like query, of that package
}

// compile turns the Rego files into queries.
func (b *Bundle) compile(ctx context.Context, s source) error {
	modules, err := s.parse()
	if err != nil {
		return err
	}
	if b.foreign, err = s.foreignRules(modules); err != nil {
		return err
	}
	entries, err := s.entryRules(modules, b.foreign)
	if err != nil {
		return err
	}
	b.partial = !slices.Contains(entries, ruleAllow)
	if b.rules, err = describe(modules, len(b.foreign) > 0); err != nil {
		return err
	}
	b.effective = map[string]time.Time{}
	if err := b.describeForeign(modules); err != nil {
		return err
	}
	c, err := s.check(modules)
	if err != nil {
		return err
	}
	b.rewritten = c.RewrittenVars
	b.compiler, b.store = c, inmem.NewFromObjectWithOpts(s.data, inmem.OptReturnASTValuesOnRead(true))
	members := map[string]string{}
	for _, name := range entries {
		members[name] = "data." + entryPackage + "." + name
	}
	b.again = objectOf(members, []string{ruleAllow, ruleLevels})
	for _, f := range b.foreign {
		members[f.ref] = f.ref
	}
	if b.query, err = b.prepare(ctx, members); err != nil {
		return err
	}
	sources, err := sourceRules(modules)
	if err != nil || len(sources) == 0 {
		return err
	}
	members = map[string]string{}
	for _, name := range sources {
		members[name] = "data." + entryPackage + "." + sourcePackage + "." + name
	}
	b.aboutSources = true
	b.aboutSource, err = b.prepare(ctx, members)
	return err
}

// prepare makes the query for one object of rules.
func (b *Bundle) prepare(ctx context.Context, members map[string]string) (rego.PreparedEvalQuery, error) {
	q, err := rego.New(
		rego.Compiler(b.compiler),
		rego.Store(b.store),
		rego.Query("result = "+objectOf(members, slices.Sorted(maps.Keys(members)))),
		rego.StrictBuiltinErrors(true),
		rego.GenerateJSON(boundedJSON),
	).PrepareForEval(ctx)
	if err != nil {
		return q, tidy(err)
	}
	return q, nil
}

// objectOf writes an object of those of the members that are there.
func objectOf(members map[string]string, names []string) string {
	var out []string
	for _, name := range names {
		if ref, ok := members[name]; ok {
			out = append(out, fmt.Sprintf("%q: %s", name, ref))
		}
	}
	return "{" + strings.Join(out, ", ") + "}"
}

func (s source) parse() (map[string]*ast.Module, error) {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(s.files)), func(name string) bool { return !strings.HasSuffix(name, ".rego") })
	if len(names) == 0 {
		return nil, errors.New("bundle holds no rules: no *.rego file besides tests")
	}
	parsed, failed := make([]*ast.Module, len(names)), make([]error, len(names))
	var parsers sync.WaitGroup // a third of compiling is parsing
	for i, name := range names {
		parsers.Go(func() {
			o := ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1}
			parsed[i], failed[i] = ast.ParseModuleWithOpts(path.Join(s.prefix, name), string(s.files[name]), o)
		})
	}
	parsers.Wait()
	modules := map[string]*ast.Module{}
	for i, name := range names {
		if failed[i] != nil {
			return nil, tidy(failed[i])
		}
		modules[path.Join(s.prefix, name)] = parsed[i]
	}
	shapeInputs(modules)
	return modules, nil
}

// check compiles strictly, against the input's schema and the allowed builtins.
func (s source) check(modules map[string]*ast.Module) (*ast.Compiler, error) {
	if err := s.checkData(modules); err != nil {
		return nil, err
	}
	c, err := s.compiler()
	if err != nil {
		return nil, err
	}
	if c.Compile(modules); c.Failed() {
		return nil, tidy(c.Errors)
	}
	return c, nil
}

func (s source) compiler() (*ast.Compiler, error) {
	schemas := ast.NewSchemaSet()
	for _, of := range []struct {
		ref    ast.Ref
		schema []byte
	}{{ast.SchemaRootRef, inputSchema}, {ast.SchemaRootRef.Append(ast.StringTerm(sourcePackage)), sourceSchema}} {
		var shape any
		if err := json.Unmarshal(of.schema, &shape); err != nil {
			return nil, err
		}
		schemas.Put(of.ref, shape)
	}
	return ast.NewCompiler().
		WithCapabilities(capabilities()).
		WithSchemas(schemas).
		WithUseTypeCheckAnnotations(true).
		WithStrict(true).
		WithEnablePrintStatements(false).
		WithPathConflictsCheck(func(p []string) (bool, error) { return has(s.data, p), nil }), nil
}

func has(doc map[string]any, p []string) bool {
	for i, key := range p {
		v, ok := doc[key]
		if !ok || i == len(p)-1 {
			return ok
		}
		if doc, ok = v.(map[string]any); !ok {
			return false
		}
	}
	return false
}

// tidy makes one line of the engine's errors: file and line, what is wrong with which name, and how many more
// there are. Errors are sorted by place, so the line is always the same.
func tidy(err error) error {
	var evaluation *topdown.Error
	if errors.As(err, &evaluation) {
		return fmt.Errorf("%s%s", at(evaluation.Location), cut(oneLine(evaluation.Message), 300))
	}
	var list ast.Errors
	if !errors.As(err, &list) || len(list) == 0 {
		return errors.New(oneLine(err.Error()))
	}
	slices.SortStableFunc(list, func(a, b *ast.Error) int { return a.Location.Compare(b.Location) })
	first := list[0]
	message, more := explain(first), ""
	if len(list) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(list)-1)
	}
	return fmt.Errorf("%s%s%s", at(first.Location), message, more)
}

func at(loc *ast.Location) string {
	if loc == nil || loc.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d: ", loc.File, loc.Row)
}

// explain words a compile error so that it names what to change.
func explain(e *ast.Error) string {
	if name, ok := strings.CutPrefix(e.Message, "undefined function "); ok {
		if why := whyRefused(name); why != "" {
			return fmt.Sprintf("builtin %q is not available: %s", name, why)
		}
	}
	d, ok := e.Details.(*ast.RefErrInvalidDetail)
	if !ok || d.Pos >= len(d.Ref) {
		return oneLine(e.Message)
	}
	msg := fmt.Sprintf("%s has no field %s", d.Ref[:d.Pos], d.Ref[d.Pos])
	var known []string
	for _, v := range d.OneOf {
		if s, ok := v.(ast.String); ok {
			known = append(known, string(s))
		}
	}
	if s, ok := d.Ref[d.Pos].Value.(ast.String); ok {
		if near := hint.Nearest(string(s), known); near != "" {
			return msg + fmt.Sprintf("; did you mean %q?", near)
		}
	}
	if len(known) > 0 {
		slices.Sort(known)
		msg += "; known: " + strings.Join(known, ", ")
	}
	return msg
}
