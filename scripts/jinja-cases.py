"""
Renders snippets with Jinja2, set up as transformers sets it up for chat templates, and writes what they give to
test/fixtures/jinja-cases.json, which the test of the template engine reads.

    python scripts/jinja-cases.py        # needs jinja2 3.1.6 and Python 3.11
"""
import datetime
import json
import os

from jinja2 import TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

VARIABLES = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi\n  there é😀"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\n    return 1\n", "tool_calls": [{"id": "a1", "n": 2}]},
        {"role": "user", "content": ""},
    ],
    "people": [{"name": "Bo", "age": 3}, {"name": "al", "age": 1}, {"name": "Cy", "age": 3}],
    "numbers": [3, 1, 2, 10, -4],
    "mixed": [1, 1.5, True, None, "it's", 'a "b"', "x\ty\\", ["n", {"k": "v"}], {}],
    "words": ["b", "A", "c", "a", "B"],
    "d": {"b": 1, "a": {"x": None, "y": [1, 2.5]}, "items": "shadow", "key with space": "w"},
    "text": "The quick brown fox\njumps  over\r\nthe lazy dog",
    "spaces": " \t\n x y \u00a0\u3000\n",
    "html": "<p class='a'>T&C \"q\"</p>",
    "uni": "naïve Straße ǆ İstanbul 日本語 😀é",
    "zero": 0,
    "f": 0.1,
    "e": "",
    "yes": True,
    "no": False,
    "nil": None,
    "tree": [{"n": "a", "c": [{"n": "b", "c": []}, {"n": "c", "c": [{"n": "d", "c": []}]}]}],
}

CASES = []


def add(*templates, **variables):
    for template in templates:
        CASES.append((template, variables))


def expressions(text):
    """One expression a line."""
    for line in text.strip("\n").split("\n"):
        if line.strip() and not line.startswith("##"):
            add("{{ " + line + " }}")


# Printing
expressions(r"""
true
false
none
1
-1
1.0
1.5
0.1 + 0.2
1e16
1e15
1e22
1.5e-5
0.0001
123456789.123456789
1e100
2 ** 70
2 ** -1
1_000
0x1F
0b101
0o17
1_0.5e1_0
"it's"
'a"b'
['it', 1.0, true, none]
["it's", 'a "b"', "both ' and \""]
("a",)
()
(1, 2)
1, 2
{}
{'a': 1, "b": [none, {'c': 2.50}], 3: 'x', none: 1, true: 2, 1.5: 0}
[[], {}, ()]
mixed
d
messages[1]
messages[2].tool_calls
["\n\t\r\\ \x00 \x7f \x1b é \xa0 \u200b \U0001F600 \ud83d"]
"\x41\u00e9\101\q\'\""
'a' 'b' "c"
range(3)
range(1, 10, 2)
range(3)|list
range(5)[1:3]
range(5)[-1]
d.keys()
d.values()|list|length
{'a': 1}.items()
{'a': 1}.items()|list
namespace(a=1, b='x')
messages[9]
[messages[9], undefined_name]
undefined_name
[undefined_name]
-0.0
1e400
-1e400
1e400 - 1e400
true + true
5e-324
1.7976931348623157e308
100000000000000000000
12345678901234567890.0
9007199254740993
0.30000000000000004
[1, 2] * 2
"ab" * 3
3 * "ab"
(1,) * 3
[1] + [2]
(1,) + (2,)
f
[f, zero, nil, yes, no]
nil
nil is none
nil is defined
d.a.x
d.a.get('x', 5)
[none]|first
[none, none]|last
[none]|max
d.a.items()
{'a': none}.a
{'a': none}['a'] is none
""")

# Operators and comparisons
expressions(r"""
7 // 2
-7 // 2
7 // -2
7 % 3
-7 % 3
7 % -3
7.5 % 2
-7.5 % 2
7.5 // 2
-7.5 // 2
7 / 2
6 / 2
2 ** 3 ** 2
-2 ** 2
2 ** 0.5
1 / 3
10 % 3.5
+3
-true
not true
not none
1 == 1.0
1 == true
'1' == 1
none == none
none == false
undefined_name == none
undefined_name == undefined_other
undefined_name != none
none == undefined_name
[1, 2] == [1.0, 2]
(1, 2) == [1, 2]
{'a': 1} == {'a': 1.0}
1 < 2 < 3
1 < 2 > 3
'a' < 'b'
'B' < 'a'
[1, 2] < [1, 3]
(1, 2) < (1, 2, 0)
'😀' > '\uffff'
1 in [1, 2]
'a' in 'cat'
'a' not in 'cat'
'role' in messages[0]
'x' in messages[0]
3 in numbers
'3' in numbers
none in mixed
1 in range(3)
5 in range(3)
'a' in undefined_name
not 'a' in 'cat'
true and 'x'
0 or 'y'
0 and 1/0
'' or none
'x' if true
'x' if false
('x' if false) is defined
'x' if false else 'y' if false else 'z'
1 if 2 if 3 else 4 else 5
'a' ~ 1 ~ none ~ true ~ 1.0 ~ undefined_name ~ [1]
1 ~ 2 + 3
1 + 2 ~ 3
'a' ~ 'b' == 'ab'
2 * 3 ~ 4
-1|abs
-1 | abs
(-1)|abs
1 + 2|string|length
'%s and %r: %d %5.2f|%-5s|%05d|%x|%X|%o|%e|%g|%c|%%|%+d' % ('a', 'b', 3, 2.5, 'l', 42, 255, 255, 8, 12345.678, 0.00001, 'q', 7)
'%(a)s-%(b)03d' % {'a': 'x', 'b': 5}
'%s' % 'one'
'%s' % [1, 2]
'%5s|%-5s|%.2s' % ('ab', 'ab', 'abcdef')
'%i %u' % (3.9, -2)
'%g %g %g %G' % (100000.0, 1000000.0, 1e-5, 1e-10)
'%#x %#o' % (255, 8)
'%.3e' % 0
'%s %s' % ('a',)
'%d' % 'a'
'%s' % ('a', 'b')
'%z' % 1
'%*d' % (5, 42)
1 + 'a'
'a' + 1
[1] + (2,)
none + 1
'a' - 'b'
1 / 0
1 // 0
1 % 0
1.0 / 0
0 ** -1
1 < 'a'
none < 1
[1] < [none]
[1] < ['a']
1 in 5
1 in 'abc'
{} < {}
{[]: 1}
undefined_name + 1
1 + undefined_name
undefined_name ~ 'a'
undefined_name > 1
-undefined_name
undefined_name * 2
undefined_name.x
undefined_name['x']
undefined_name()
messages[0].nothing.more
messages[0].nothing
messages[0]['nothing'] is defined
messages.nothing
messages['nothing']
none.x
none['x']
1.x
'abc'.x
""")

# Subscripts and slices
expressions(r"""
'hello'[0]
'hello'[-1]
'hello'[1:3]
'hello'[:-1]
'hello'[::-1]
'hello'[::2]
'hello'[3:0:-1]
'hello'[10:]
'hello'[-3:]
'hello'[5]
'a😀b'[1]
'a😀b'[1:]
'a😀b'[::-1]
numbers[1:]
numbers[-2:]
numbers[::-1]
numbers[:2]
numbers[5:1:-2]
numbers[100]
numbers['a']
numbers[1.0]
numbers[true]
(1, 2, 3)[1:]
(1, 2, 3).0
numbers.1
numbers.0
d['key with space']
d.b
d.items is callable
d['items']
d.get('b')
d.get('z')
d.get('z', 5)
d.get('z', default=5)
d.a.y[1]
d['a']['x']
d.update
d.pop
d.update({'a': 1})
numbers.append(1)
numbers.append
numbers.index(2)
numbers.count(1)
numbers.index(99)
(1, 2, 1).count(1)
numbers.copy()
d.copy() == d
d.keys()|list
d.values()|list
d.items()
d.__class__
''.__class__
''.__class__.__mro__
messages[0].__init__
messages[0]['__class__']
'abc'['upper']()
numbers['index'](1)
d[1:2]
5[0]
messages[1:][0].role
messages[::-1][0].role
'abc'[1:2, 0]
numbers[none:2]
numbers['a':2]
text[1.5:]
numbers[::0]
""")

# Methods of str
expressions(r"""
'xabx'.strip('x')
'xabx'.lstrip('x')
'xabx'.rstrip('x')
'\n\n  a \n'.strip('\n')
'\n\n  a \n'.lstrip('\n')
'\n\n  a \n'.rstrip('\n')
spaces.strip()
spaces.lstrip()
spaces.rstrip()
'abcba'.strip('ab')
'a'.strip('')
' a '.strip(none)
'\ufeffa'.strip()
'a,b,c'.split(',')
'a,b,c'.split(',', 1)
'a,b,c'.split(',', maxsplit=1)
'a,b,c'.split(sep=',', maxsplit=0)
'a,b,c'.rsplit(',', 1)
' a  b c '.split()
' a  b c '.split(none, 1)
' a  b c '.rsplit(none, 1)
' a  b c '.rsplit(maxsplit=1)
' a  b c '.split(' ')
''.split()
''.split(',')
'a'.split('')
'abc'.split('b')[-1]
'<think>x</think>y'.split('</think>')[-1].lstrip('\n')
text.splitlines()
text.splitlines(true)
text.splitlines(keepends=True)
'a\x0bb\x0cc\x1cd\x85e\u2028f'.splitlines()
'a\n\nb\n'.splitlines()
''.splitlines()
'aXbX'.replace('X', '-')
'aXbX'.replace('X', '-', 1)
'abc'.replace('', '.')
'abc'.replace('', '.', 2)
'abc'.replace('b')
'abc'.startswith('ab')
'abc'.startswith(('x', 'a'))
'abc'.startswith('b', 1)
'abc'.startswith('b', 1, 1)
'abc'.endswith('bc')
'abc'.endswith('b', 0, 2)
'abc'.endswith(('x', 'c'))
'abc'.startswith(['a'])
'abc'.startswith(1)
'abcabc'.find('c')
'abcabc'.find('c', 3)
'abcabc'.find('c', 3, 5)
'abcabc'.find('z')
'abcabc'.rfind('a')
'abcabc'.index('b')
'abcabc'.rindex('b')
'abcabc'.index('z')
'a😀b'.find('b')
'abcabc'.count('bc')
'aaa'.count('aa')
'aaa'.count('')
'aaa'.count('a', 1)
'hello world'.title()
"they're bill's".title()
'hELLO wORLD'.capitalize()
'hELLO'.swapcase()
'Straße'.upper()
'Straße'.casefold()
'ÀÉ'.lower()
'ǆ'.capitalize()
uni.upper()
uni.title()
'ab'.center(7)
'ab'.center(6, '*')
'abc'.center(6, '*')
'abc'.center(7, '*')
'ab'.ljust(5) ~ '|'
'ab'.rjust(5, '.')
'ab'.rjust(5, 'xy')
'42'.zfill(5)
'-42'.zfill(5)
'+4'.zfill(2)
'a-b-c'.partition('-')
'a-b-c'.rpartition('-')
'abc'.partition('-')
'abc'.rpartition('-')
'TestHook'.removeprefix('Test')
'TestHook'.removesuffix('Hook')
'abc'.removesuffix('')
'a\tb\n\tc'.expandtabs(4)
'a\tb'.expandtabs()
','.join(['a', 'b'])
','.join('abc')
','.join([1, 2])
','.join(words)
','.join(undefined_name)
'abc'.isalpha()
'ab1'.isalpha()
'ab1'.isalnum()
'12'.isdigit()
'²'.isdigit()
'²'.isdecimal()
'½'.isnumeric()
''.isdigit()
'abc'.islower()
'ABC'.isupper()
'1'.isupper()
'Ab Cd'.istitle()
'  '.isspace()
''.isspace()
'a b'.isidentifier()
'ab_1'.isidentifier()
'aé'.isascii()
'a\n'.isprintable()
'{} {}'.format('a', 1)
'{0} {1} {0}'.format('a', 'b')
'{a} {b:>5}|{c:<5}|{d:^5}|'.format(a=1, b='x', c='y', d='z')
'{:05d} {:+d} {:,} {:_} {:x} {:#x} {:b} {:o} {:e} {:.2f} {:%} {:g}'.format(42, 7, 1234567, 1234567, 255, 255, 5, 8, 12345.6789, 3.14159, 0.25, 0.00001)
'{:.3} {:10.2f}|{:<10}|{:^10}|{:*>10}'.format('abcdef', 2.5, 1.5, true, 'r')
'{!r} {!s}'.format('a', 'b')
'{{}} {}'.format(1)
'{a[b]} {a[x].y}'.format(a={'b': 1, 'x': {'y': 2}})
'{0[1]}'.format([1, 2])
'{} {}'.format('a')
'{x}'.format()
'{'.format()
'{:d}'.format('a')
'{:{w}}|'.format('a', w=5)
'{:.1f} {:.0f} {:.2f}'.format(0.25, 2.5, 2.675)
'{}'.format(1.0)
'{:s}'.format('a')
'{:c}'.format(65)
'{:,.2f}'.format(1234567.891)
'{a}'.format_map({'a': 5})
'abc'.translate({97: 'x', 98: none})
'abc'.upper(1)
'abc'.strip(1)
'abc'.lstrip('a', 'b')
'abc'.strip(chars='a')
'abc'.nomethod()
'abc'.split(',', 1, 2)
(1).bit_length()
(1.0).is_integer()
""")

# Filters
expressions(r"""
-5|abs
'a'|abs
'hello'|attr('upper') is callable
d|attr('b')
numbers|batch(2)|list
numbers|batch(2, 0)|list
numbers|batch(2, fill_with='x')|list
'hELLO'|capitalize
'ab'|center(6)
1|center(5)
'x'|default('y')
undefined_name|default('y')
undefined_name|d('y')
''|default('y')
''|default('y', true)
none|default('y')
none|default('y', boolean=true)
undefined_name|default
messages[0].x|default(none)
undefined_name.x|default('y')
{'b': 1, 'A': 2, 'c': 0}|dictsort
{'b': 1, 'A': 2, 'c': 0}|dictsort(true)
{'b': 1, 'A': 2, 'c': 0}|dictsort(by='value')
{'b': 1, 'A': 2}|dictsort(false, 'value', reverse=true)
{'b': 1}|dictsort(by='x')
[1]|dictsort
html|escape
html|e
html|forceescape
1000|filesizeformat
1|filesizeformat
123456789|filesizeformat(true)
numbers|first
[]|first
''|first
'abc'|first
d|first
'42'|float
'x'|float
'x'|float(1.5)
none|float
'1_0.5'|float
'inf'|float
3|float
'%s-%s'|format('a', 1)
'%(x)s'|format(x=2)
'%s'|format('a', x=1)
people|groupby('age')
people|groupby('name')|map('first')|list
people|groupby('age')|map(attribute='list')|map('length')|list
people|groupby('age')|map(attribute='grouper')|list
people|groupby('x', default='none')|map('first')|list
'a\nb\n\nc'|indent
'a\nb\n\nc'|indent(2)
'a\nb\n\nc'|indent(2, true)
'a\nb\n\nc'|indent(2, first=true, blank=true)
'a\nb'|indent('> ')
'a\r\nb\n'|indent(2)
'a\n'|indent
''|indent(2, true)
5|indent
'42'|int
'42.7'|int
'x'|int
'x'|int(7)
'ff'|int(base=16)
'0x1f'|int(0, 16)
'0b11'|int(base=0)
3.9|int
-3.9|int
true|int
none|int
none|int(5)
undefined_name|int
' 12 '|int
'1_000'|int
[]|int
{'a': 1, 'b': 2}|items|list
undefined_name|items|list
[1]|items|list
numbers|join
numbers|join(', ')
words|join('-')
people|join(',', attribute='name')
people|join(d='|', attribute='age')
[1, none, true, 1.0, 'a', [1]]|join('|')
undefined_name|join(',')
none|join(',')
'abc'|join('.')
numbers|last
[]|last
'abc'|last
'abc'|length
'a😀'|length
numbers|length
d|length
undefined_name|length
5|length
none|count
[1, 2]|count
'abc'|list
d|list
numbers|list
none|list
'ABC'|lower
5|lower
true|lower
words|map('upper')|list
people|map(attribute='name')|list
people|map(attribute='x')|list
people|map(attribute='x', default='-')|list
people|map(attribute='name')|map('lower')|join(', ')
numbers|map('string')|join('+')
[' a ', 'b ']|map('trim')|list
['a.b', 'c.d']|map('replace', '.', '-')|list
['xax']|map('trim', 'x')|list
words|map('nosuch')|list
words|map|list
words|map(nothing=1)|list
numbers|max
numbers|min
words|max
words|min
words|max(case_sensitive=true)
people|max(attribute='age')
people|min(attribute='name')
[]|max
d.a.y|pprint
{'b': 1, 'a': 2}|pprint
words|reject('equalto', 'A')|list
numbers|reject('gt', 2)|list
numbers|reject('odd')|list
people|rejectattr('age', 'equalto', 3)|map(attribute='name')|list
messages|rejectattr('content')|map(attribute='role')|list
'a-b-c'|replace('-', '+')
'a-b-c'|replace('-', '+', 1)
'a-b-c'|replace('-', '+', count=1)
'a1b1'|replace(1, 2)
123|replace(2, 'x')
'abc'|reverse
numbers|reverse|list
'a😀b'|reverse
5|reverse
2.5|round
3.5|round
2.567|round(2)
2.675|round(2)
2.567|round(1, 'floor')
2.567|round(1, 'ceil')
1234|round(-2)
42|round
2.5|round|int
-2.5|round
2.1|round(method='floor')
'x'|round
1.005|round(2)
0.5|round
html|safe
words|select('equalto', 'A')|list
words|select('in', ['A', 'c'])|list
mixed|select|list
mixed|select('string')|list
mixed|select('number')|list
numbers|select('divisibleby', 2)|list
people|selectattr('age', 'gt', 1)|map(attribute='name')|list
people|selectattr('age', '==', 3)|map(attribute='name')|join
messages|selectattr('role', 'equalto', 'user')|list|length
messages|selectattr('role', 'equalto', 'user')|length
messages|selectattr('tool_calls', 'defined')|map(attribute='role')|list
messages|selectattr('tool_calls')|map(attribute='role')|list
messages|selectattr('content')|first
messages|selectattr|list
messages|select('nosuch')|list
numbers|slice(2)|list
numbers|slice(3, 'x')|list
numbers|sort
numbers|sort(reverse=true)
words|sort
words|sort(case_sensitive=true)
words|sort(true)
people|sort(attribute='name')|map(attribute='name')|list
people|sort(attribute='age,name')|map(attribute='name')|list
people|sort(attribute='age', reverse=true)|map(attribute='name')|list
mixed|sort
'hello'|sort
d|sort
5|string|length
none|string
[1.0, true]|string
undefined_name|string
html|striptags
'a <!-- c --> b  <b>x</b>&amp;&lt;'|striptags
numbers|sum
people|sum(attribute='age')
people|sum('age', 10)
[]|sum
[0.1, 0.2]|sum
words|sum
[[1], [2]]|sum(start=[])
'hello wORLD foo-bar (baz)'|title
"it's"|title
1|tojson
1.0|tojson
1e20|tojson
'é"\\\n\t\x01/<>&\''|tojson
mixed|tojson
d|tojson
d|tojson(indent=2)
d|tojson(indent=4, sort_keys=false)
{'b': 1, 'a': [1, {}]}|tojson(sort_keys=true)
{'b': 1, 'a': [1, {}, []]}|tojson(indent=1)
[]|tojson(indent=2)
{'é😀': 'ü'}|tojson(ensure_ascii=true)
{'a': [1, 2]}|tojson(separators=(',', ':'))
{'a': [1, 2]}|tojson(separators=(',', ':'), indent=2)
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
(1, 2)|tojson
d|tojson(indent='\t')
undefined_name|tojson
[undefined_name]|tojson
range(2)|tojson
d.keys()|tojson
1e400|tojson
messages|tojson
12345678901234567890|tojson
'\u2028😀'|tojson
'  a b \n'|trim
'xxaxx'|trim('x')
'xxaxx'|trim(chars='x')
'\n a \n'|trim('\n')
spaces|trim
5|trim
['a']|trim
none|trim
undefined_name|trim
text|truncate(12)
text|truncate(12, true)
text|truncate(12, true, '…')
text|truncate(12, false, '!', 0)
'short'|truncate(3, leeway=5)
'foo bar baz qux'|truncate(9)
'foo bar baz qux'|truncate(11, leeway=0)
text|truncate(2)
words|unique|list
words|unique(true)|list
people|unique(attribute='age')|map(attribute='name')|list
[1, 1.0, true, 2]|unique|list
[[1]]|unique|list
'abc'|upper
none|upper
'a b/c?d=é&'|urlencode
{'a b': 'c&d', 'e': 1}|urlencode
[('a', 'b')]|urlencode
text|wordcount
'a-b c_d é'|wordcount
'The quick brown fox jumps over'|wordwrap(10)
'averyveryverylongword and more'|wordwrap(8)
'averyveryverylongword and more'|wordwrap(8, false)
'a b\n\nc d e f'|wordwrap(3, wrapstring='|')
'well-known hyphen-ated'|wordwrap(6)
{'class': 'a', 'id': none, 'n': 1, 'q': '<"'}|xmlattr
{'class': 'a'}|xmlattr(false)
'x'|nosuch
'x' if true else 'y'|nosuch
'x'|upper|lower|capitalize
('a', 'b')|list
'abc'|upper()
'a'|default(b=1)
'a'|upper(1)
numbers|join(nosuch=1)
'a'|replace('b')
'a'|batch
[3, 1]|sort|first
[1, 2, 3]|map('int')|sum
(numbers|map('string'))|join(',')
numbers|map('abs') is iterable
{'a': 1}|map('upper')|list
""")

# Rarer arguments and characters
expressions(r"""
'ŉab ßx ﬁn ᾳ ᾷ ǆ ǅ ა'.title()
'ŉ'.capitalize() ~ 'ßA'.capitalize() ~ 'ᾳ'|capitalize ~ 'ǆX'.capitalize()
'ΑΣ ΑΣΑ Σ'.title() ~ 'ΑΣ'.capitalize() ~ 'aΣ.b aΣ'.swapcase()
'ǅ ᾈ Ⓐⓐ ªº'.swapcase()
'ŉ µ ſ ϐ ẞ ﬁ ᾳ Ꭰ ꭰ ı İ'.casefold()
'Ⅷ'.istitle() ~ 'Ⓐ'.istitle() ~ 'Ⓐ'.isupper() ~ 'ª'.islower()
'一二'.isnumeric() ~ '፩'.isdigit() ~ '𑁒'.isdigit() ~ '½'.isdigit() ~ '٣'.isdecimal()
'𑁒'.isnumeric() ~ '陸'.isnumeric() ~ '国'.isnumeric()
'ͺ'.isidentifier() ~ 'a·'.isidentifier()
'a\x1cb'|title
'٣'|int ~ '-१२'|int ~ '𝟘𝟙'|int ~ '٣.٥'|float ~ '\x1c7\x85'|int
'ab'.translate('x' * 98) ~ 'ab'.translate(['z'] * 98)
'ab'.translate(5)
'abc'.endswith('', 2, 0) ~ 'abc'.startswith('', 4) ~ 'abc'.startswith('c', -1, 'x')
'abc'.endswith('c', 5, 'x')
'a'.count('', 5) ~ 'a'.count('', 1) ~ 'a'.count('', 2)
'abc'.splitlines(none)
'é😀'.encode() ~ 'a"\'\\\n'.encode('ascii') ~ 'é'.encode('latin-1') ~ ''.encode()
'é'.encode('ascii', 'ignore') ~ 'é'.encode('ascii', errors='replace')
'é'.encode('ascii')
'é'.encode('nope')
'é'.encode()|length ~ 'é'.encode()|list ~ 'é'.encode()[0] ~ 'é'.encode()[-1:] ~ 'é'.encode().decode() ~ 'é'.encode().hex()
'é'.encode() == 'é'.encode() ~ ('é'.encode() is string)
'{0.real}{}'.format(1, 2)
'{}{0}'.format(1)
'{0}{}'.format(1)
'{!a}|{!r}'.format('é😀', 'é')
'%a|%r' % ('é😀', 'é')
'{:,}'.format('x')
'{:+}'.format('x')
'{:#}'.format('x')
'{:,x}'.format(1)
'{:_x}|{:_b}'.format(1234567, 300)
'{:+c}'.format(97)
'{:,n}'.format(1)
'{:010,d}|{:08,}|{:012_x}|{:010,.1f}'.format(1234, 5, 255, 1.5)
'{:#.0f}|{:#}|{:#.3}|{:#g}'.format(2.5, 1e-5, 1.0, 1.0)
'{:.3}|{:.2}|{:.1}|{:.0}|{:.4}'.format(123.0, 12.0, 0.0, 1.0, 123.0)
'%#.0f|%#.0e|%#.3g' % (2.5, 2.0, 1.0)
'%.10e|%.2e|%.3g' % (123456789.125, 1.125, 0.00012345)
'%5%' % 1
'abc' % [1, 2]
'abc' % undefined_name
'abc' % (1,)
'%(a)s %s' % {'a': 1}
'{a}'.format_map({'a': 1}) ~ 'a'.format_map(none)
-0.0 // 1 ~ 1 // -2.0 ~ 7.5 // 2
0.0001 ** -2 ~ 1.1 ** 10 ~ (-0.3) ** 3 ~ 10.0 ** 22 ~ 2 ** -3
9007199254740993 / 3 ~ (10 ** 30) / 7 ~ 1 / (3 * 10 ** 20)
(10 ** 400) / 2
(5).bit_count() ~ (5).conjugate() ~ true.conjugate() ~ (1.5).conjugate() ~ (5).as_integer_ratio()
range(1, 9, 3).start ~ range(9).stop ~ range(9).step ~ range(10).count(3) ~ range(10).index(4)
range(10)[:-1:2] ~ range(10)[::-1] ~ range(0)[1:] ~ range(10)[8:2]
range(10).index(11)
[1].copy(1)
d.items().mapping
undefined_name|last ~ undefined_name|reverse|list ~ undefined_name|first
numbers|sort('x')
numbers|sort(1)
d|dictsort(reverse='x')
words is filter
(1, []) is test
'upper' is filter ~ 'odd' is test ~ 5 is filter
'a b'|wordwrap(0)
'ab 😀😀😀 cd'|wordwrap(2)
['ab', 'cd']|urlencode
['ab', 'c']|urlencode
[('a', 1, 2)]|urlencode
(10.0 ** 307 * 100)|filesizeformat
[1, 2, 3]|batch(2.5, 0)|list
'a'|tojson(indent=1.5)
[1]|tojson(indent=1.5)
'a'|tojson(separators=true)
strftime_now('%_d %-m %5Y %^a %#p %^P %-I %03d %10A %s'|replace('%s', '%%s'))
strftime_now('%-j|%e|%-e|%_H|%0e|%12D|%q|%E')
""")
add(
    "{% for i, in [[1], [2]] %}{{ i }}{% endfor %}",
    "{% for (i,) in [[1], [2]] %}{{ i }}{% endfor %}",
    "{% for i in 1, recursive %}{{ i }}{% endfor %}",
    "x{#",
    "x\n {#-\n",
    "x{% raw %}\n",
    "x{#  ",
    "x{% raw -%} ",
    "{% macro m() %}{% generation %}{{ kwargs }}{{ varargs }}{{ caller is defined }}{% endgeneration %}{% endmacro %}{{ m(1, q=1) }}",
    "{% macro m() %}{% set kwargs = 1 %}{{ kwargs }}{% endmacro %}{{ m() }}{{ m(q=1) }}",
    "{% macro m() %}{% macro n(caller=none) %}{{ caller is none }}{% endmacro %}{{ n() }}{{ kwargs }}{% endmacro %}{% call m() %}x{% endcall %}",
    "{% for m in messages %}{% generation %}{{ m.role }}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}{% for i in [1] %}{% generation %}{% break %}{% endgeneration %}{% endfor %}",
    "{% set ns = namespace(_a=1) %}",
    "{% set ns = namespace({'_a': 1}) %}",
    "{% set ns = namespace(a_=1) %}{% set ns.b_ = 2 %}{{ ns }}{% set ns._c = 1 %}",
    "{% set ns = namespace(a=1) %}{{ ns._a is defined }}{{ ns['a'] }}{{ ns.b }}",
    "{{ dict.fromkeys('ab', 1) }}{{ dict is callable }}{{ dict.x is defined }}{{ dict() }}",
    "{{ namespace is callable }}{{ dict.fromkeys() }}",
)

# Markup, which escape and safe make
expressions(r"""
html|e|e ~ html|safe|e ~ html|e|forceescape
(html|e) + '<' ~ ('<' + (html|safe)) ~ ((html|e) + (html|safe))
(html|e) ~ '<'
['<'|e, 'b'|safe]
'<'|e is escaped ~ '<' is escaped ~ ('a'|safe is string) ~ ('a'|safe == 'a')
('<b>%s</b>'|safe) % '<' ~ ('<b>%s %d</b>'|safe) % ('&', 5) ~ ('<b>%(x)s</b>'|safe) % {'x': '<'}
('<b>{} {x}</b>'|safe).format('<', x='>') ~ ('<b>%s</b>'|safe|format('<'))
('<b>'|safe).upper()|e ~ ('<b>'|safe|upper|e) ~ ('<b>'|safe|title|e) ~ ('<b>'|safe|trim|e)
('a-b'|safe).split('-') ~ ('a-b'|safe).partition('-') ~ ('<a>'|safe)[0] ~ ('<a>'|safe)[1:]|e
('<'|safe).join(['>', '&'|safe, 1]) ~ ('a<'|safe).replace('a', '>')
('<'|safe) * 2 ~ 2 * ('<'|safe) ~ ('<'|safe|list) ~ ('<'|safe|length)
['<'|safe, '>']|join('&') ~ {'k': '<'|safe}|tojson ~ {'<'|safe: 1}['<']
['b'|safe, 'a']|sort ~ ('<' in '<a>'|safe) ~ ('a'|safe < 'b')
('<'|safe) + 1
'5'|safe|int + 1
""")

# Slices that fail, which Jinja2 drops where it computes a constant
expressions(r"""
none[1:2]
5[1:]|default('d') ~ 'abc'['a':] ~ (1, 2)[:1.5]
'abc'[::0]
5[::0]
nil[1:2]
zero[1:]
'abc'[nil:'a']
{'a': 1}[1:2]
undefined_name[1:]
none[1:2] ~ nil
0 / -1 ~ 0 / 5
""")
add("{% set x = none[1:2] %}{{ x }}", "{% print none[1:2], 1 %}", "{% if none[1:2] %}{% endif %}")

# Lines of pprint
expressions(r"""
messages|pprint
[people, tree, mixed, d, text]|pprint
(text * 3)|pprint
{'k': text * 2, 'a': [html, html * 2], 'b': (text * 2,)}|pprint
[[text * 2]]|pprint
('word ' * 30)|pprint
('x' * 100)|pprint
{2: 'a' * 70, -1: 1.5, 'b': none, none: 3}|pprint
((numbers * 12,),)|pprint
['é😀' * 20, 'é😀' * 20]|pprint
""")

# Tests
expressions(r"""
3 is odd
4 is even
9 is divisibleby 3
9 is divisibleby(4)
x is defined
d is defined
d.zz is defined
d.zz is not defined
x is undefined
'upper' is filter
'nosuch' is filter
'odd' is test
none is none
undefined_name is none
0 is none
true is boolean
1 is boolean
false is false
0 is false
true is true
1 is true
1 is integer
true is integer
1.0 is integer
1.0 is float
1 is float
'abc' is lower
'ABC' is upper
'aBc' is lower
'' is lower
'a' is string
1 is string
{} is mapping
[] is mapping
1 is number
true is number
'1' is number
[] is sequence
'a' is sequence
{} is sequence
1 is sequence
none is sequence
undefined_name is sequence
(numbers|map('abs')) is sequence
[] is iterable
'a' is iterable
1 is iterable
none is iterable
undefined_name is iterable
d.get is callable
1 is callable
range is callable
undefined_name is callable
none is sameas none
1 is sameas 1
false is sameas 0
[] is sameas []
1 is in [1, 2]
3 is not in [1, 2]
'a' is in 'abc'
1 is eq 1
1 is equalto 1.0
1 is ne 2
2 is gt 1
2 is ge 2
2 is lt 1
2 is le 1
2 is greaterthan 1
2 is lessthan 1
1 is ==(1)
'x' is escaped
1 is nosuch
not x is defined
x is not defined and d is defined
1 is odd is even
1 is divisibleby 0
'a' is odd
d.a.x is none
messages[0].content is string
messages[0] is mapping and messages[0].content is not mapping
(1 if x is defined else 2)
1 is number if true else 0
""")

# White space control
add(
    "  {% if true %}\n  a\n  {% endif %}\nb",
    "a\n  {%- if true -%}  \n b \n  {%- endif -%}  \n c",
    "  {%+ if true %}a{% endif +%}\nb",
    "{% if true %}\n\n a{% endif %}\n\nb",
    "x {% if true %} a {% endif %} y",
    "  {{ 1 }}\n  {{- 2 -}}  \n 3",
    "{# c #}\na\n  {# c #}\nb {#- c -#}  c",
    "{# a\n b #}x",
    "  {# c +#}\nb",
    "a\n{% set x = 1 %}\n{% set y = 2 %}\nb\n",
    "a\n\n",
    "a\n",
    "\n",
    "\n\n{% if true %}\n{% endif %}\n\n",
    "{% raw %}{{ x }} {% if %}{% endraw %}",
    "  {% raw %}\n {{ x }}\n  {% endraw %}\nz",
    "a {%- raw -%}  x  {%- endraw -%}  b",
    "{{ '{{' }} {{ '%}' }}",
    "{{ {'a': {'b': 1}}['a']['b'] }}",
    "{{ {'a': 1} }}",
    "{{ '}}' ~ \"{%\" }}",
    "{% set x = '\n' %}{{ x }}|",
    "a\r\nb\r\n{% if true %}\r\n c\r\n{% endif %}\r\nd",
    "a\rb\r{% if true %}\rc{% endif %}\rd\r",
    "{% for m in messages %}\r\n<{{ m.role }}>\r\n{% endfor %}\r\n",
    "{{ 'a\r\nb' }}",
    "{% if true %}\t\n{% endif %}x",
    "\t{% if true %}x{% endif %}",
    "a{% if true %}\n  {% if true %}\n  b\n  {% endif %}\n{% endif %}c",
    "{%- for i in [1, 2] -%}\n {{ i }} \n{%- endfor -%}",
    "{% for i in [1, 2] %}\n    {{ i }}\n{% endfor %}\nend",
    "{{ 1 }}\n{{ 2 }}\n",
    "{{- 1 }} {{ 2 -}}  x",
    "\u00a0 {%- if true %}a{% endif -%} \u3000b",
    "{{ 1 -}}\n\n\n{{- 2 }}",
    "x\n   {%- set a = 1 %}\ny",
    "x\n   {% set a = 1 -%}\n\n y",
    "{%if true%}a{%endif%}",
    "{{1}}{{ 2}}",
    "{% print 1, 'a' %}",
    "{% if true: %}a{% endif %}",
    "{{ 1 }",
    "{{ 1",
    "{% if true %}",
    "{% endif %}",
    "{% nosuch %}",
    "{# x",
    "{% raw %}x",
    "{{ }}",
    "{{ 1 2 }}",
    "{{ (1 }}",
    "{{ 1) }}",
    "{{ [1}} }}",
    "{% if %}a{% endif %}",
    "{{ a b }}",
    "{{ 'abc }}",
    "{{ x.1a }}",
    "{{ $ }}",
    "{{ a.'b' }}",
    "{{ 1 if }}",
    "{% set %}",
    "{% set true = 1 %}",
    "{% set 1 = 1 %}",
    "{% set a.b.c = 1 %}",
    "{% for %}{% endfor %}",
    "{% for a b in c %}{% endfor %}",
    "{% for true in c %}{% endfor %}",
    "{% if true %}{% else %}{% elif %}{% endif %}",
    "{% macro %}{% endmacro %}",
    "{% macro f(a=1, b) %}{% endmacro %}",
    "{{ f(a=1, 2) }}",
    "{% block a %}1{% endblock %}{% block a %}2{% endblock %}",
    "{% if false %}{{ 1|nosuch }}{% endif %}ok",
    "{% if false %}{{ 1 is nosuch }}{% endif %}ok",
    "{% if false %}{% for i in [1] %}{{ i|nosuch }}{% endfor %}{% endif %}ok",
    "{{ 1 if true else 2|nosuch }}",
    "{% for i in [] %}{{ i|nosuch }}{% endfor %}ok",
)

# Scoping
add(
    "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }},{% endfor %}{{ x }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% for i in [1] %}{% if true %}{% set y = 5 %}{% endif %}{{ y }}{% endfor %}{{ y is defined }}",
    "{% set ns = namespace(n=0) %}{% for i in numbers %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
    "{% set ns = namespace(a=1) %}{% set ns.b = 2 %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns.c is defined }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a + ns.b }}",
    "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}",
    "{% set ns = namespace() %}{% set ns.x %}abc{% endset %}{{ ns.x }}",
    "{% set d2 = {} %}{% set d2.x = 1 %}",
    "{% set nothing.x = 1 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = [1] %}",
    "{% set a, b = [1, 2, 3] %}",
    "{% set a, b = 5 %}",
    "{% set a, (b, c) = 1, (2, 3) %}{{ a + b + c }}",
    "{% set x %}a{{ 1 }}b{% endset %}{{ x }}|{{ x|length }}",
    "{% set x | upper %}abc{% endset %}{{ x }}",
    "{% set x | replace('a', 'b') | upper %}abc{% endset %}{{ x }}",
    "{% set x %}{% set y = 1 %}{% endset %}{{ y is defined }}",
    "{% set x = 5 %}{% set t %}{% set x = 6 %}{{ x }}{% endset %}{{ t }}{{ x }}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}",
    "{% set a = 9 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}",
    "{% filter upper %}abc {{ 'd' }}{% set z = 1 %}{% endfilter %}{{ z is defined }}",
    "{% filter replace('a', 'b')|upper %}abc{% endfilter %}",
    "{% for i in [1, 2, 3] %}{{ x|default('-') }}{% set x = i %}{% endfor %}",
    "{% for i in [1, 2] %}{% endfor %}{{ i is defined }}",
    "{% set i = 'o' %}{% for i in [1] %}{{ i }}{% endfor %}{{ i }}",
    "{% for i in [1] %}{% set numbers = 5 %}{{ numbers }}{% endfor %}{{ numbers|length }}",
    "{% set messages = messages[1:] %}{{ messages[0].role }}",
    "{% if messages[0].role == 'system' %}{% set s = messages[0].content %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}{{ s }}{{ rest|length }}",
    "{% block b %}{{ x is defined }}{% endblock %}",
    "{% set x = 1 %}{% block b %}{{ x }}{% endblock %}",
    "{% for x in [1] %}{% block b %}{{ x is defined }}{% endblock %}{% endfor %}",
    "{% for x in [1] %}{% block b scoped %}{{ x }}{% endblock %}{% endfor %}",
    "{% block b %}q{% endblock b %}{{ self.b() }}",
    "{% if true %}{% macro m() %}x{% endmacro %}{% endif %}{{ m() }}",
    "{% generation %}a{{ 1 }}{% set g = 1 %}{% endgeneration %}{{ g is defined }}",
    "{% generation %}\n x\n{% endgeneration %}\ny",
    "{% set loop = 1 %}{{ loop }}",
    "{% for i in [1] %}{% set loop = 1 %}{% endfor %}",
    "{% for loop in [1] %}{% endfor %}",
    "{% set range = 5 %}{{ range }}",
    "{% set x = x %}{{ x is defined }}",
    "{% set true_ = true %}{{ true_ }}",
    "{% autoescape false %}x{% endautoescape %}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% extends 'x' %}",
)

# Loops
add(
    "{% for i in numbers %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
    "{% for i in numbers %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}",
    "{% for i in numbers %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}",
    "{% for i in numbers %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for i in [1, 1, 2, 2, 1] %}{{ loop.changed(i) }} {% endfor %}",
    "{% for i in numbers if i > 1 %}{{ i }}{{ loop.index }}/{{ loop.length }} {% endfor %}",
    "{% for i in numbers if i > 100 %}x{% else %}none{% endfor %}",
    "{% for i in [] %}x{% else %}empty{% endfor %}",
    "{% for i in numbers %}{{ i }}{% else %}x{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }};{% endfor %}",
    "{% for k, v in d|dictsort %}{{ k }};{% endfor %}",
    "{% for k, v in d|items %}{{ k }};{% endfor %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }}{% endfor %}",
    "{% for a, b in [(1, 2), [3]] %}{{ a }}{{ b }}{% endfor %}",
    "{% for a, b in ['xy', 'zw'] %}{{ a }}-{{ b }} {% endfor %}",
    "{% for c in 'a😀é' %}{{ c }}|{% endfor %}",
    "{% for i in undefined_name %}x{% else %}none{% endfor %}",
    "{% for i in none %}x{% endfor %}",
    "{% for i in 5 %}x{% endfor %}",
    "{% for i in 1, 2 %}{{ i }}{% endfor %}",
    "{% for i in range(3) %}{% for j in range(2) %}{{ loop.index }}{{ i }}{{ j }} {% endfor %}{{ loop.index }}{% endfor %}",
    "{% for i in [1, 2] %}{% set outer = loop %}{% for j in [1] %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for n in tree recursive %}{{ n.n }}{{ loop.depth }}{% if n.c %}({{ loop(n.c) }}){% endif %}{% endfor %}",
    "{% for n in tree recursive %}[{{ n.n }}{{ loop.depth0 }}{{ loop(n.c) }}]{% else %}-{% endfor %}",
    "{% for n in [1] %}{{ loop([2]) }}{% endfor %}",
    "{{ loop }}{{ loop is defined }}",
    "{% for i in [1] %}{{ loop }}{% endfor %}",
    "{% for i in [1, 2] %}{% else %}{{ loop is defined }}{% endfor %}",
    "{% for i in [1,2,3] %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}|",
    "{% for i in [1,2,3] %}a{% if i == 2 %}b{% break %}{% endif %}c{% endfor %}|",
    "{% for i in [1,2,3] %}a{{ i }}{% if i == 2 %}b{% continue %}c{% endif %}d{% endfor %}|",
    "{% for i in [1,2] %}{% for j in [1,2,3] %}{% if j == 2 %}x{% break %}{% endif %}{{ j }}{% endfor %};{% endfor %}",
    "{% for i in [1,2] %}{% for j in [1,2,3] %}{% if j == 2 %}x{% continue %}{% endif %}{{ j }}{% endfor %};{% endfor %}",
    "{% for i in [1,2,3] %}{% set t %}q{{ i }}{% if i == 2 %}{% break %}{% endif %}{% endset %}{{ t }}{% endfor %}|",
    "{% for i in [1,2,3] %}{% set t %}q{{ i }}{% if i == 2 %}{% continue %}{% endif %}{% endset %}{{ t }}{% endfor %}|",
    "{% for i in [1,2,3] %}{% filter upper %}q{{ i }}{% if i == 2 %}{% break %}{% endif %}{% endfilter %}{% endfor %}|",
    "{% for i in [1,2,3] %}{% with a = i %}w{% if a == 2 %}{% continue %}{% endif %}{{ a }}{% endwith %}{% endfor %}|",
    "{% for i in [1,2] %}{{ i }}{% break %}{% else %}e{% endfor %}",
    "{% for i in [1,2] %}{{ i }}{% continue %}{% else %}e{% endfor %}",
    "{% for i in [1,2] %}{{ i }}{% if i == 2 %}{% break %}{% endif %}{% else %}e{% endfor %}",
    "{% for i in [1,2,3] %}{% for j in [] %}{% else %}{% if i == 2 %}B{% break %}{% endif %}{{ i }}{% endfor %}{% endfor %}|",
    "{% for i in numbers if i > 0 %}{{ i }}{% if loop.index == 2 %}!{% break %}{% endif %}{% endfor %}",
    "{% for n in tree recursive %}{{ n.n }}{% if n.n == 'b' %}!{% break %}{% endif %}{{ loop(n.c) }}.{% endfor %}",
    "{% macro m(xs) %}{% for x in xs %}{{ x }}{% if x == 2 %}!{% break %}{% endif %}{% endfor %}{% endmacro %}{{ m([1,2,3]) }}",
    "{% for i in [1,2] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% break %}",
    "{% continue %}",
    "{% for i in [] %}{% else %}{% break %}{% endfor %}",
    "{% for i in [1] %}{% call f() %}{% break %}{% endcall %}{% endfor %}",
    "{% for i in numbers|map('abs') %}{{ i }}{{ loop.last }}{% if loop.first %}{{ loop.length }}{% endif %} {% endfor %}",
    "{% set g = numbers|map('abs') %}{{ g|list }}{{ g|list }}",
    "{% if numbers|select('gt', 100) %}true{% else %}false{% endif %}",
    "{% for i in numbers[::-1] %}{{ i }} {% endfor %}",
    "{% for i in range(0, 10, 3) %}{{ i }} {% endfor %}",
    "{% for i in range(5, 0, -2) %}{{ i }} {% endfor %}",
    "{% for i in range(0) %}x{% endfor %}|",
    "{{ range(0, 5, 0) }}",
    "{{ range(1000000) }}",
    "{{ range('a') }}",
    "{% for m in messages %}{% if loop.first and m.role == 'system' %}S{% continue %}{% endif %}{{ m.role[0] }}{% endfor %}",
    "{% for m in messages if m.role != 'system' %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}bad{% endif %}{{ m.role }} {% endfor %}",
    "{% for i in [3,1] %}{{ loop.index ~ '/' ~ loop.length }}{{ ',' if not loop.last }}{% endfor %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{% set _ = c.reset() %}{{ c.current }}",
    "{% set j = joiner(', ') %}{% for i in [1,2,3] %}{{ j() }}{{ i }}{% endfor %}",
    "{{ cycler() }}",
)

# Macros
add(
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=5, a=4) }} {{ m() }}",
    "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(none) }}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}",
    "{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, b=2) }}",
    "{% macro m() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{% set x = 2 %}{{ m() }}",
    "{% macro m() %}{% set x = 5 %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{{ x }}",
    "{% macro m(x) %}<{{ caller() }}{{ x }}>{% endmacro %}{% call m(1) %}body{% endcall %}",
    "{% macro m(xs) %}{% for x in xs %}{{ caller(x, loop.index) }}{% endfor %}{% endmacro %}{% call(a, b) m([5, 6]) %}[{{ a }}{{ b }}]{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}",
    "{% macro m(caller=none) %}{{ caller }}{% endmacro %}{{ m() }}",
    "{% macro m(caller) %}{{ caller }}{% endmacro %}",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}",
    "{% macro m(a) %}x{% endmacro %}{{ m }}{{ m.name }}{{ m.arguments }}{{ m.caller }}",
    "{% macro m() %}\n  a\n{% endmacro %}{{ m() }}|{{ m()|trim }}|{{ m()|length }}",
    "{% macro m(a) -%} {{ a }} {%- endmacro %}{{ m('x') ~ m('y') }}",
    "{{ m() }}{% macro m() %}x{% endmacro %}",
    "{% macro outer() %}{% macro inner() %}i{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}",
    "{% for i in [1,2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}",
    "{% call undefined_name() %}x{% endcall %}",
    "{% call 5 %}x{% endcall %}",
    "{% macro m() %}{% endmacro %}{% call m() %}x{% endcall %}",
    "{{ dict(a=1, b=2) }}{{ dict([('x', 1)]) }}{{ dict({'z': 1}, y=2) }}",
    "{{ raise_exception('no way: ' ~ 1) }}",
    "{{ strftime_now('%Y-%m-%d %H:%M:%S %a %A %b %B %d %e %j %p %y %I %U %W %V %u %w %% %-d %F %T %D') }}",
    "{% set f = 'a'.upper %}{{ f() }}",
    "{{ numbers(1) }}",
    "{{ 'a'() }}",
    "{{ none() }}",
)

# Templates as they are in use
add(
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are helpful<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "{{ bos_token }}{%- for m in messages %}\n    {%- if m.role == 'user' %}\n        {{- '[INST] ' + m.content + ' [/INST]' }}\n    {%- elif m.role == 'assistant' %}\n        {{- m.content|trim + eos_token }}\n    {%- endif %}\n{%- endfor %}",
    "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}\n{%- for message in messages[::-1] %}\n    {%- set index = (messages|length - 1) - loop.index0 %}\n    {%- if ns.multi_step_tool and message.role == \"user\" and message.content is string %}\n        {%- set ns.multi_step_tool = false %}\n        {%- set ns.last_query_index = index %}\n    {%- endif %}\n{%- endfor %}{{ ns.last_query_index }}",
    "{%- for message in messages %}{%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}{%- if '</think>' in content %}{{ content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') }}|{{ content.split('</think>')[-1].lstrip('\n') }}{%- endif %}{%- endfor %}",
    "{%- if tools %}{{ tools|tojson }}{%- else %}none{%- endif %}{% if tools is not none and tools is defined %}x{% endif %}",
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ add_generation_prompt }}",
    "{%- for t in messages[2].tool_calls %}{{ t|tojson(indent=4) }}{{- '\n\n' }}{%- endfor %}",
    "{{- 'a' if messages[0].x else 'b' -}}{{ messages[0].get('x', 'c') }}{{ messages[0]['x'] or 'd' }}",
    "{% for message in messages %}{% if message['role'] not in ['user', 'assistant', 'system'] %}{{ raise_exception('role ' + message['role']) }}{% endif %}{% endfor %}ok",
    "{% set date = strftime_now('%d %b %Y') if strftime_now is defined else '26 Jul 2024' %}{{ date }}",
    add_generation_prompt=True, bos_token="<s>", eos_token="</s>", tools=None,
)


def environment():
    class Generation(Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_run"), [], [], body).set_lineno(line)

        def _run(self, caller):
            return caller()

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise TemplateError(message)

    class TemplateDict:
        def __call__(self, *args, **kwargs):
            return dict(*args, **kwargs)

        def fromkeys(self, *args, **kwargs):
            return dict.fromkeys(*args, **kwargs)

    class TemplateNamespace(Namespace):
        def __init__(*args, **kwargs):
            self, args = args[0], args[1:]
            attributes = dict(*args, **kwargs)
            for name in attributes:
                check_name(name)
            Namespace.__init__(self, attributes)

        def __setitem__(self, name, value):
            check_name(name)
            Namespace.__setitem__(self, name, value)

    def check_name(name):
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"Chat templates cannot store underscore-prefixed attributes, but got {name!r}")

    now = datetime.datetime(2026, 2, 3, 4, 5, 6)
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["dict"] = TemplateDict()
    env.globals["namespace"] = TemplateNamespace
    env.globals["strftime_now"] = lambda format: now.strftime(format)
    return env


def outcome(env, template, variables):
    try:
        compiled = env.from_string(template)
    except (TemplateSyntaxError, SyntaxError) as error:
        return {"malformed": str(error)}
    try:
        return {"text": compiled.render(**VARIABLES, **variables)}
    except TemplateError as error:
        return {"raised" if type(error) is TemplateError else "failed": str(error)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def main():
    env = environment()
    lines = []
    seen = set()
    for template, variables in CASES:
        if template in seen:
            raise SystemExit(f"twice: {template}")
        seen.add(template)
        case = {"template": template, **({"variables": variables} if variables else {})}
        case.update(outcome(env, template, variables))
        lines.append(json.dumps(case))
    out = os.path.join(os.path.dirname(__file__), "..", "test", "fixtures", "jinja-cases.json")
    with open(out, "w") as file:
        file.write('{"variables": ' + json.dumps(VARIABLES) + ',\n"cases": [\n' + ",\n".join(lines) + "\n]}\n")
    print(len(lines), "cases")


main()
