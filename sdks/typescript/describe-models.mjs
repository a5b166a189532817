// Prints the fields of every exported interface of TypeScript files as JSON, for the test that compares them with the
// API's OpenAPI document.
import ts from "typescript";

const files = process.argv.slice(2);
const program = ts.createProgram(files, { strict: true, target: ts.ScriptTarget.ES2022, noLib: false });
const checker = program.getTypeChecker();
const described = {};

for (const symbol of files.flatMap((file) => checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file))))) {
  const [declaration] = symbol.declarations ?? [];
  if (!declaration || !ts.isInterfaceDeclaration(declaration)) continue;
  const fields = {};
  for (const property of checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol))) {
    const type = checker.getTypeOfSymbolAtLocation(property, declaration);
    const parts = partsOf(type);
    fields[property.name] = {
      optional: (property.flags & ts.SymbolFlags.Optional) !== 0,
      nullable: parts.some((part) => part.flags & ts.TypeFlags.Null),
      words: parts.flatMap((part) => (part.isStringLiteral() ? [part.value] : [])).sort(),
      kinds: [...new Set(parts.flatMap(kindOf))].sort(),
    };
  }
  described[symbol.name] = fields;
}
process.stdout.write(JSON.stringify(described));

function partsOf(type) {
  return type.isUnion() ? type.types.flatMap(partsOf) : [type];
}

function kindOf(part) {
  if (part.flags & (ts.TypeFlags.Null | ts.TypeFlags.Undefined)) return [];
  if (part.flags & ts.TypeFlags.StringLike || part.isIntersection()) return ["string"];
  if (part.flags & ts.TypeFlags.NumberLike) return ["number"];
  if (part.flags & ts.TypeFlags.BooleanLike) return ["boolean"];
  if (checker.isArrayType(part)) return ["array"];
  return ["object"];
}
