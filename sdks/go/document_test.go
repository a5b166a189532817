package devora

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

// operation is what the module sends and reads of one operation of the API.
type operation struct {
	query  []string
	body   any
	answer any
}

var pageQuery = []string{"limit", "offset", "after"}

// operations is the one table of this test: each operation of the OpenAPI document and its types.
var operations = map[string]operation{
	"GET /v1/agents":                                                    {answer: AgentList{}},
	"GET /v1/agents/{agent_id}":                                         {answer: Agent{}},
	"GET /v1/agents/{agent_id}/health":                                  {answer: AgentHealth{}},
	"POST /v1/agents/{agent_id}/execute":                                {body: startBody{}, answer: []any{Result{}, StartedJob{}}},
	"GET /v1/workflows":                                                 {answer: WorkflowList{}},
	"GET /v1/workflows/{workflow_id}":                                   {answer: Workflow{}},
	"POST /v1/workflows/{workflow_id}/run":                              {body: startBody{}, answer: []any{Result{}, StartedJob{}}},
	"GET /v1/jobs":                                                      {query: append([]string{"status", "state", "since", "until", "owner", "agent_id", "workflow_id", "reason", "label", "needs_attention"}, pageQuery...), answer: JobList{}},
	"GET /v1/jobs/{job_id}":                                             {query: []string{"wait", "until"}, answer: Job{}},
	"GET /v1/jobs/{job_id}/output":                                      {answer: Output{}},
	"GET /v1/jobs/{job_id}/events":                                      {query: []string{"after", "limit", "deltas", "snapshot"}, answer: EventList{}},
	"POST /v1/jobs/{job_id}/cancel":                                     {body: cancelBody{}, answer: Control{}},
	"POST /v1/jobs/{job_id}/pause":                                      {body: noteBody{}, answer: Control{}},
	"POST /v1/jobs/{job_id}/resume":                                     {body: noteBody{}, answer: Control{}},
	"POST /v1/jobs/{job_id}/approve":                                    {body: Decision{}, answer: Control{}},
	"POST /v1/jobs/{job_id}/reject":                                     {body: Decision{}, answer: Control{}},
	"GET /v1/jobs/{job_id}/questions":                                   {answer: QuestionList{}},
	"POST /v1/jobs/{job_id}/answers":                                    {body: AnswerRequest{}, answer: AnswerResult{}},
	"POST /v1/jobs/{job_id}/signals/{name}":                             {body: signalBody{}, answer: Control{}},
	"POST /v1/jobs/{job_id}/retry":                                      {body: struct{}{}, answer: StartedJob{}},
	"GET /v1/jobs/{job_id}/deliveries":                                  {query: pageQuery, answer: DeliveryList{}},
	"GET /v1/metrics":                                                   {answer: Metrics{}},
	"GET /v1/metrics/agents/{agent_id}":                                 {query: []string{"period"}, answer: AgentMetrics{}},
	"POST /v1/schedules":                                                {body: ScheduleCreateRequest{}, answer: Schedule{}},
	"GET /v1/schedules":                                                 {query: pageQuery, answer: ScheduleList{}},
	"GET /v1/schedules/{schedule_id}":                                   {answer: Schedule{}},
	"PATCH /v1/schedules/{schedule_id}":                                 {body: ScheduleUpdateRequest{}, answer: Schedule{}},
	"DELETE /v1/schedules/{schedule_id}":                                {},
	"POST /v1/schedules/{schedule_id}/pause":                            {body: noteBody{}, answer: Schedule{}},
	"POST /v1/schedules/{schedule_id}/unpause":                          {body: noteBody{}, answer: Schedule{}},
	"POST /v1/schedules/{schedule_id}/trigger":                          {body: TriggerRequest{}, answer: Schedule{}},
	"POST /v1/schedules/{schedule_id}/backfill":                         {body: BackfillRequest{}, answer: Schedule{}},
	"POST /v1/webhooks":                                                 {body: WebhookCreateRequest{}, answer: Webhook{}},
	"GET /v1/webhooks":                                                  {query: pageQuery, answer: WebhookList{}},
	"GET /v1/webhooks/{webhook_id}":                                     {answer: Webhook{}},
	"PATCH /v1/webhooks/{webhook_id}":                                   {body: WebhookUpdateRequest{}, answer: Webhook{}},
	"DELETE /v1/webhooks/{webhook_id}":                                  {},
	"POST /v1/webhooks/{webhook_id}/rotate-secret":                      {body: SecretRotateRequest{}, answer: Webhook{}},
	"POST /v1/webhooks/{webhook_id}/test":                               {answer: Delivery{}},
	"GET /v1/webhooks/{webhook_id}/deliveries":                          {query: append([]string{"state"}, pageQuery...), answer: DeliveryList{}},
	"POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": {answer: Delivery{}},
	"GET /v1/limits":                                                    {answer: Limits{}},
	"POST /v1/auth/api-keys":                                            {body: KeyCreateRequest{}, answer: IssuedKey{}},
	"GET /v1/auth/api-keys":                                             {query: pageQuery, answer: KeyList{}},
	"GET /v1/auth/api-keys/{key_id}":                                    {answer: Key{}},
	"PATCH /v1/auth/api-keys/{key_id}":                                  {body: KeyUpdateRequest{}, answer: Key{}},
	"DELETE /v1/auth/api-keys/{key_id}":                                 {answer: Key{}},
	"POST /v1/auth/api-keys/{key_id}/rotate":                            {body: KeyRotateRequest{}, answer: IssuedKey{}},
	"POST /v1/auth/sign-out":                                            {},
	"GET /v1/auth/me":                                                   {answer: Account{}},
	"POST /v1/users":                                                    {body: UserCreateRequest{}, answer: User{}},
	"GET /v1/events":                                                    {query: []string{"after"}},
	"GET /v1/users":                                                     {query: []string{"limit", "offset"}, answer: UserList{}},
	"DELETE /v1/users/{username}":                                       {},
	"GET /v1/audit":                                                     {query: []string{"principal", "username", "action", "since", "until", "before", "after", "limit"}, answer: AuditList{}},
}

// newer is what the module knows and an earlier server lacks: fields by type, query parameters.
var newer = map[string][]string{"query": {"snapshot"}}

// schema is the part of JSON Schema that the document uses.
type schema struct {
	Ref                  string             `json:"$ref"`
	Type                 json.RawMessage    `json:"type"`
	Format               string             `json:"format"`
	Properties           map[string]*schema `json:"properties"`
	Required             []string           `json:"required"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"`
	Items                *schema            `json:"items"`
	AnyOf                []*schema          `json:"anyOf"`
	OneOf                []*schema          `json:"oneOf"`
	AllOf                []*schema          `json:"allOf"`
	Enum                 []any              `json:"enum"`
	Const                any                `json:"const"`
}

type content map[string]struct {
	Schema *schema `json:"schema"`
}

type document struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name string `json:"name"`
			In   string `json:"in"`
		} `json:"parameters"`
		RequestBody struct {
			Content content `json:"content"`
		} `json:"requestBody"`
		Responses map[string]struct {
			Content content `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

// TestDocument compares the module's types with the OpenAPI document, in both directions: all that the document names
// is in the types, and nothing else is.
func TestDocument(t *testing.T) {
	file := os.Getenv("DEVORA_TEST_OPENAPI")
	if file == "" {
		t.Skip("DEVORA_TEST_OPENAPI names no document; tests/sdks/test_go.py gives that of the server")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	walk := walk{t: t, named: map[reflect.Type]map[string]bool{}, free: map[reflect.Type]bool{}, walked: map[[2]any]bool{}}
	if err := json.Unmarshal(text, &walk.document); err != nil {
		t.Fatal(err)
	}
	walk.all()
}

type walk struct {
	t        *testing.T
	document document
	named    map[reflect.Type]map[string]bool // what the document names of a type
	free     map[reflect.Type]bool            // types of objects whose members the document leaves open
	walked   map[[2]any]bool                  // types and schemas that were compared
}

func (w *walk) all() {
	seen := map[string]bool{}
	for path, methods := range w.document.Paths {
		for method, described := range methods {
			name := strings.ToUpper(method) + " " + path
			if !strings.HasPrefix(path, "/v1/") {
				continue // the other surfaces
			}
			seen[name] = true
			known, ok := operations[name]
			if !ok {
				w.t.Errorf("%s: the module has no such call", name)
				continue
			}
			var query []string
			for _, parameter := range described.Parameters {
				if parameter.In == "query" {
					query = append(query, parameter.Name)
				}
			}
			w.compareNames(name+" query", "query", query, known.query)
			if body := described.RequestBody.Content["application/json"].Schema; body != nil && known.body != nil {
				w.compare(name+" body", body, reflect.TypeOf(known.body), true)
			} else if (body != nil) != (known.body != nil) {
				w.t.Errorf("%s: the document has a body: %t, the module: %t", name, body != nil, known.body != nil)
			}
			w.answers(name, known.answer, map[string]*schema{
				"200": described.Responses["200"].Content["application/json"].Schema,
				"201": described.Responses["201"].Content["application/json"].Schema,
				"202": described.Responses["202"].Content["application/json"].Schema,
			})
		}
	}
	for name := range operations {
		if !seen[name] {
			w.t.Errorf("%s: the document has no such operation", name)
		}
	}
	for structure, names := range w.named {
		if w.free[structure] {
			continue
		}
		var documented []string
		for name := range names {
			documented = append(documented, name)
		}
		w.compareNames(structure.Name(), structure.Name(), documented, fieldNames(structure))
	}
}

// answers compares those of one operation; a start has one for each mode.
func (w *walk) answers(name string, known any, described map[string]*schema) {
	types := []any{known}
	if several, ok := known.([]any); ok {
		types = several
	}
	some := false
	for status, answer := range described {
		if answer == nil {
			continue
		}
		some = true
		if known == nil {
			w.t.Errorf("%s: the module ignores the answer %s", name, status)
			continue
		}
		variants, _ := w.variants(answer)
		for _, variant := range variants {
			w.compareOne(name+" "+status, variant, closest(variant, types))
		}
	}
	if known != nil && !some {
		w.t.Errorf("%s: the document has no answer", name)
	}
}

// closest is the type that lacks the fewest properties of an object: a start answers with a result or a started job.
func closest(described *schema, types []any) reflect.Type {
	best, fewest := reflect.TypeOf(types[0]), -1
	for _, each := range types {
		structure, lacks := reflect.TypeOf(each), 0
		for name := range described.Properties {
			if _, ok := fieldOf(structure, name); !ok {
				lacks++
			}
		}
		if fewest < 0 || lacks < fewest {
			best, fewest = structure, lacks
		}
	}
	return best
}

// compare compares a value. One that may be left out needs no pointer: its zero value says so.
func (w *walk) compare(where string, described *schema, structure reflect.Type, optional bool) {
	variants, nullable := w.variants(described)
	kind := structure.Kind()
	if nullable && !optional && kind != reflect.Pointer && kind != reflect.Slice && kind != reflect.Map && kind != reflect.Interface {
		w.t.Errorf("%s: may be null, but is a %s", where, structure)
	}
	for structure.Kind() == reflect.Pointer {
		structure = structure.Elem()
	}
	if structure.Kind() == reflect.Interface {
		return
	}
	for _, variant := range variants {
		w.compareOne(where, variant, structure)
	}
}

func (w *walk) compareOne(where string, described *schema, structure reflect.Type) {
	kind := structure.Kind()
	wrong := func() { w.t.Errorf("%s: %s in the document, but %s", where, typeOf(described), structure) }
	switch typeOf(described) {
	case "object":
		if kind == reflect.Map {
			if element := described.element(); element != nil {
				w.compare(where+".*", element, structure.Elem(), false)
			}
			return
		}
		if kind != reflect.Struct {
			wrong()
			return
		}
		if w.named[structure] == nil {
			w.named[structure] = map[string]bool{}
		}
		once := [2]any{structure, described}
		if w.walked[once] { // a step may have steps
			return
		}
		w.walked[once] = true
		if described.Properties == nil && structure.NumField() > 0 {
			w.free[structure] = true
		}
		for name, property := range described.Properties {
			field, ok := fieldOf(structure, name)
			if !ok {
				w.t.Errorf("%s.%s: %s lacks it", where, name, structure)
				continue
			}
			w.named[structure][name] = true
			w.compare(where+"."+name, property, field.Type, !slices.Contains(described.Required, name))
		}
	case "array":
		if kind != reflect.Slice {
			wrong()
			return
		}
		if described.Items != nil {
			w.compare(where+"[]", described.Items, structure.Elem(), false)
		}
	case "string":
		if kind != reflect.String && !(described.Format == "date-time" && structure == reflect.TypeOf(time.Time{})) {
			wrong()
		}
		if described.Format == "date-time" && kind == reflect.String {
			wrong()
		}
	case "integer":
		if kind != reflect.Int && kind != reflect.Int64 {
			wrong()
		}
	case "number":
		if kind != reflect.Float64 {
			wrong()
		}
	case "boolean":
		if kind != reflect.Bool {
			wrong()
		}
	}
}

// variants are the alternatives of a schema without null.
func (w *walk) variants(described *schema) (variants []*schema, nullable bool) {
	if described.Ref != "" {
		name := described.Ref[strings.LastIndex(described.Ref, "/")+1:]
		target := w.document.Components.Schemas[name]
		if target == nil {
			w.t.Fatalf("the document has no schema %s", name)
		}
		return w.variants(target)
	}
	several := slices.Concat(described.AnyOf, described.OneOf, described.AllOf)
	if len(several) == 0 {
		if typeOf(described) == "null" {
			return nil, true
		}
		return []*schema{described}, strings.Contains(string(described.Type), `"null"`)
	}
	for _, each := range several {
		more, null := w.variants(each)
		variants, nullable = append(variants, more...), nullable || null
	}
	return variants, nullable
}

// compareNames compares what the document and the module name.
func (w *walk) compareNames(where, kind string, documented, known []string) {
	for _, name := range documented {
		if !slices.Contains(known, name) {
			w.t.Errorf("%s: the module lacks %s", where, name)
		}
	}
	sort.Strings(known)
	for _, name := range known {
		if !slices.Contains(documented, name) && !slices.Contains(newer[kind], name) {
			w.t.Errorf("%s: the document lacks %s", where, name)
		}
	}
}

func typeOf(described *schema) string {
	var one string
	if json.Unmarshal(described.Type, &one) == nil {
		return one
	}
	var several []string
	if json.Unmarshal(described.Type, &several) == nil {
		several = slices.DeleteFunc(several, func(name string) bool { return name == "null" })
		if len(several) == 1 {
			return several[0]
		}
	}
	if described.Properties != nil {
		return "object"
	}
	return fmt.Sprint(several)
}

// element is the schema of a map's values.
func (s *schema) element() *schema {
	var described schema
	if json.Unmarshal(s.AdditionalProperties, &described) != nil {
		return nil // true, false or nothing
	}
	return &described
}

func fieldOf(structure reflect.Type, name string) (reflect.StructField, bool) {
	for i := range structure.NumField() {
		if tag, _, _ := strings.Cut(structure.Field(i).Tag.Get("json"), ","); tag == name {
			return structure.Field(i), true
		}
	}
	return reflect.StructField{}, false
}

func fieldNames(structure reflect.Type) []string {
	names := []string{}
	for name := range fieldsOf(structure) {
		names = append(names, name)
	}
	return names
}
